"""What a law is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from imctrain.technology.design import Design
from imctrain.technology.scaling import Dimension


@dataclass(frozen=True)
class Law:
    """A figure as a function of the design.

    Attributes:
        function: (design, **parameters) -> value in SI units. Its parameters have defaults, the law's own constants.
        dimension: of the value.
        prices_noise: whether the value follows the converter's noise. No publication states that as it is used here,
            so that at a design whose noise is known the value is derived at best.
    """

    function: Callable[..., float]
    dimension: Dimension
    prices_noise: bool = False

    def __call__(self, design: Design, **parameters: float) -> float:
        """The value in SI units. Raises UserError where the law does not hold."""
        return self.function(design, **parameters)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(inspect.signature(self.function).parameters)[1:]

    @property
    def source(self) -> str:
        """The first paragraph of what the law says of itself."""
        return inspect.cleandoc(self.function.__doc__ or "").partition("\n\n")[0].replace("\n", " ")

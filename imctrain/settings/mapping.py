"""[imc.mapping]: how operands become analog inputs and bit planes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from imctrain.settings.base import Section

GradientMapping = Literal["bit_serial", "grouped", "balanced"]
ActivationMapping = Literal["balanced", "digit_serial"]
RADIX4_EXPONENTS = 7
"""Magnitudes of the gradient format: 4**0 .. 4**6."""
MOST_PLANES = 14
"""Planes of a stored operand: with 14, all int4 planes weigh the same."""
MOST_SAMPLES = 16
"""Repetitions of a gradient MVM: each is a copy of it in the compiled step."""


class MappingSpec(Section):
    """How operands are driven and stored."""

    PREFIX: ClassVar[str] = "mapping."

    gradient: GradientMapping = "balanced"
    """Of a radix-4 magnitude: bit_serial, grouped, or balanced in `passes` passes."""
    passes: Annotated[int, Field(ge=1, le=RADIX4_EXPONENTS)] = 3
    """Passes of the balanced mapping."""
    activation: ActivationMapping = "balanced"
    """Of a weight or an activation whose codes the DAC does not hold: balanced passes, or digit_serial, digits of as
    many bits as the DAC's codes hold. Where it holds them, both are one pass."""
    gradient_samples: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = 1
    """Repeats of the two gradient MVMs, each with another rounding of the gradient and other noise, for the mean of
    the results; conversions in proportion. Products inside custom backward rules are done once."""
    planes: Annotated[int, Field(ge=2, le=MOST_PLANES)] | None = None
    """Planes of a stored operand, with balanced weights; at least as many as its codes have bits. One for each bit by
    default."""
    full_drive: bool = False
    """Drive activations on all levels of the DAC, unsigned ones around their middle; signed ones above their lowest
    code where the drive is unsigned."""

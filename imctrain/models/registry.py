"""The list of networks, and `build`: a network by name.

A network is a file of this package and a line of `MODELS`; everything else that knows the names takes them from there.
Neither the list nor this module loads flax: a network's module is imported when it is asked for.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from imctrain import limits
from imctrain.errors import UserError
from imctrain.models.own import build_own
from imctrain.own_code import Source

if TYPE_CHECKING:
    from flax import nnx

MODELS = MappingProxyType(
    {
        "mlp": "mlp:Mlp",
        "cnn5": "cnn5:Cnn5",
        "resnet6": "resnet6:Resnet6",
        "resnet8": "resnet8:Resnet8",
        "vgg9": "vgg9:Vgg9",
        "resnet20": "resnet20:Resnet20",
        "resnet18": "resnet18:Resnet18",
        "vit": "vit:Vit",
    }
)
"""Module of this package and class, by the name that `[model] name` takes."""
MOST_PARAMETERS = 2**30
"""Four GiB of float32, and as much again for each of gradient and momentum: wider networks end for want of memory."""

Shape = tuple[int, int, int]
"""(height, width, channels) of an image."""


@runtime_checkable
class Model(Protocol):
    """What makes a network; its parameter `width` has a default, the network's own."""

    def __call__(self, *, shape: Shape, classes: int, width: int, rngs: nnx.Rngs) -> nnx.Module:
        """Maps float32 [b, *shape] to logits [b, classes]. Raises UserError for a shape or width it cannot have."""


def model(name: str) -> Model:
    """What makes the network `name`. Raises UserError for an unknown name."""
    if name not in MODELS:
        nearest = difflib.get_close_matches(name, MODELS, n=1)
        hint = f" (did you mean {nearest[0]}?)" if nearest else ""
        raise UserError(f"model {name!r} is not known{hint}: allowed is one of {', '.join(MODELS)}, or FILE.py:NAME")
    module, attribute = MODELS[name].split(":")
    return cast("Model", getattr(importlib.import_module(f"imctrain.models.{module}"), attribute))


def default_width(name: str) -> int:
    """Base width of the network `name` where none is asked for. Raises UserError for an unknown name."""
    # The signature of an nnx class itself is that of its metaclass.
    return int(inspect.signature(model(name).__init__).parameters["width"].default)  # type: ignore[misc]


def build(
    name: str,
    *,
    shape: Shape,
    classes: int,
    width: int | None = None,
    rngs: nnx.Rngs,
    arguments: Mapping[str, Any] = MappingProxyType({}),
    source: Source | None = None,
) -> nnx.Module:
    """A freshly initialised network, in training mode.

    It maps float32 [b, *shape] to logits [b, classes]. Modes are switched with nnx's `train()` and `eval()`.

    Args:
        name: one of `MODELS`.
        shape: (height, width, channels) of the images.
        classes: number of classes.
        width: base width (see each model); None for the model's own.
        rngs: initialises the parameters.
        arguments: of a user's network. source: its code, in place of one of `MODELS`.

    Raises:
        UserError: an unknown name, or a shape, number of classes or width that the model cannot have.
    """
    if source is not None:
        return build_own(source, shape=shape, classes=classes, width=width, arguments=arguments, rngs=rngs)
    make, own = model(name), default_width(name)
    if arguments:
        raise UserError(
            f"model.arguments.{next(iter(arguments))} is not possible: {name} takes model.width alone; a network of "
            "your own takes others"
        )
    width = own if width is None else width
    if not limits.MODEL_WIDTH.hold(width):
        raise UserError(f"model width {width} is not possible: allowed is {limits.MODEL_WIDTH}")
    if classes < 2:
        raise UserError(f"{classes} classes are not possible: allowed is 2 or more")
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(f"image shape {shape} is not possible: expected (height, width, channels)")
    if width > own:
        _refuse_large(name, make, shape, classes, width)
    return make(shape=shape, classes=classes, width=width, rngs=rngs)


def _refuse_large(name: str, make: Model, shape: Shape, classes: int, width: int) -> None:
    """Raises UserError for a network of more parameters than `MOST_PARAMETERS`, before any is made."""
    import jax
    from flax import nnx

    made = nnx.eval_shape(lambda: make(shape=shape, classes=classes, width=width, rngs=nnx.Rngs(0)))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(made, nnx.Param)))
    if count > MOST_PARAMETERS:
        raise UserError(
            f"model width {width} is not possible: {name} then has {count:,} parameters, allowed are up to "
            f"{MOST_PARAMETERS:,}: lower model.width"
        )

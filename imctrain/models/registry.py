"""`build`: a network by name."""

from __future__ import annotations

import difflib
import inspect
import math
from types import MappingProxyType

import jax
from flax import nnx

from imctrain import limits
from imctrain.errors import UserError
from imctrain.models.cnn5 import Cnn5
from imctrain.models.mlp import Mlp
from imctrain.models.resnet6 import Resnet6
from imctrain.models.resnet8 import Resnet8
from imctrain.models.resnet18 import Resnet18
from imctrain.models.resnet20 import Resnet20
from imctrain.models.vgg9 import Vgg9
from imctrain.models.vit import Vit

MODELS = MappingProxyType(
    {
        "mlp": Mlp,
        "cnn5": Cnn5,
        "resnet6": Resnet6,
        "resnet8": Resnet8,
        "vgg9": Vgg9,
        "resnet20": Resnet20,
        "resnet18": Resnet18,
        "vit": Vit,
    }
)
DEFAULT_WIDTHS = MappingProxyType(
    {name: int(inspect.signature(model.__init__).parameters["width"].default) for name, model in MODELS.items()}
)
MOST_PARAMETERS = 2**30
"""Four GiB of float32, and as much again for each of gradient and momentum: wider networks end for want of memory."""


def build(
    name: str, *, shape: tuple[int, int, int], classes: int, width: int | None = None, rngs: nnx.Rngs
) -> nnx.Module:
    """A freshly initialised network, in training mode.

    It maps float32 [b, *shape] to logits [b, classes]. Modes are switched with nnx's `train()` and `eval()`.

    Args:
        name: one of `MODELS`.
        shape: (height, width, channels) of the images.
        classes: number of classes.
        width: base width (see each model); None for the model's own.
        rngs: initialises the parameters.

    Raises:
        UserError: an unknown name, or a shape, number of classes or width that the model cannot have.
    """
    if name not in MODELS:
        nearest = difflib.get_close_matches(name, MODELS, n=1)
        hint = f" (did you mean {nearest[0]}?)" if nearest else ""
        raise UserError(f"model {name!r} is not known{hint}: allowed is one of {', '.join(MODELS)}")
    width = DEFAULT_WIDTHS[name] if width is None else width
    if not limits.MODEL_WIDTH.hold(width):
        raise UserError(f"model width {width} is not possible: allowed is {limits.MODEL_WIDTH}")
    if classes < 2:
        raise UserError(f"{classes} classes are not possible: allowed is 2 or more")
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(f"image shape {shape} is not possible: expected (height, width, channels)")
    if width > DEFAULT_WIDTHS[name]:
        _refuse_large(name, shape, classes, width)
    return MODELS[name](shape=shape, classes=classes, width=width, rngs=rngs)


def _refuse_large(name: str, shape: tuple[int, int, int], classes: int, width: int) -> None:
    """Raises UserError for a network of more parameters than `MOST_PARAMETERS`, before any is made."""
    made = nnx.eval_shape(lambda: MODELS[name](shape=shape, classes=classes, width=width, rngs=nnx.Rngs(0)))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(made, nnx.Param)))
    if count > MOST_PARAMETERS:
        raise UserError(
            f"model width {width} is not possible: {name} then has {count:,} parameters, allowed are up to "
            f"{MOST_PARAMETERS:,}: lower model.width"
        )

"""`build`: a network by name."""

from __future__ import annotations

import difflib
import inspect
from types import MappingProxyType

from flax import nnx

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
    if width < 1:
        raise UserError(f"model width {width} is not possible: allowed is 1 or more")
    if classes < 2:
        raise UserError(f"{classes} classes are not possible: allowed is 2 or more")
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(f"image shape {shape} is not possible: expected (height, width, channels)")
    return MODELS[name](shape=shape, classes=classes, width=width, rngs=rngs)

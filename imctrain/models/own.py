"""A network that a user wrote, made and held to what a training needs of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from imctrain.errors import UserError
from imctrain.own_code import Source, call, load

if TYPE_CHECKING:
    from flax import nnx

KEY = "model.name"
MODES = {"deterministic": (False, True), "train": (True, False), "training": (True, False)}
"""Arguments of `__call__` that tell training from evaluation, with their values in each."""

Shape = tuple[int, int, int]


def build_own(
    source: Source,
    *,
    shape: Shape,
    classes: int,
    width: int | None,
    arguments: Mapping[str, Any],
    rngs: nnx.Rngs,
) -> nnx.Module:
    """What the user's callable makes of shape, classes and rngs (those that it takes) and the arguments of the config.

    Raises UserError for arguments that do not fit, for an error in it, and for what is no nnx module.
    """
    from flax import nnx

    given: dict[str, Any] = {"shape": shape, "classes": classes, "rngs": rngs}
    if width is not None:
        # Only asked for where it is set: as any other argument it must then be taken.
        arguments = {"width": width, **arguments}
    made = call(load(source, KEY), source, KEY, given, arguments)
    if not isinstance(made, nnx.Module):
        kind = f"{type(made).__module__.partition('.')[0]}'s {type(made).__name__}"
        if any(base.__module__.startswith("flax.linen") for base in type(made).__mro__):
            kind += " of flax.linen; nnx.bridge.ToNNX makes an nnx module of it"
        raise UserError(f"{KEY} = {source.name!r}: it returned {kind}: return a flax nnx module")
    return made


def mode_of(model: nnx.Module, *, evaluate: bool) -> dict[str, bool]:
    """What `__call__` is given beside the images, where it asks how it is called."""
    parameters = inspect.signature(type(model).__call__).parameters
    return {name: values[evaluate] for name, values in MODES.items() if name in parameters}


def check_network(
    name: str,
    forward: Callable[..., Any],
    params: Any,
    rest: Any,
    shape: Shape,
) -> None:
    """Raise UserError for a network whose state is another one after a step: no compiled loop can go on with it.

    Args:
        forward: of training, (params, rest, images) -> (logits, rest).
    """
    import jax
    import jax.numpy as jnp

    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    _, after = jax.eval_shape(forward, params, rest, images)
    before, now = (_described(tree) for tree in (rest, after))
    for path in dict.fromkeys([*before, *now]):
        if before.get(path) != now.get(path):
            raise UserError(
                f"{KEY} = {name!r}: a training step changes the form of its state: {path} is "
                f"{before.get(path, 'missing')} before and {now.get(path, 'missing')} after: make all variables in "
                "__init__, with the shape and dtype that they keep"
            )


def check_logits(name: str, logits: Any, images: Any, classes: int) -> None:
    """Raise UserError for anything but float logits [b, classes]."""
    import jax.numpy as jnp

    shape, dtype = getattr(logits, "shape", None), getattr(logits, "dtype", None)
    expected = (images.shape[0], classes)
    if shape == expected and dtype is not None and jnp.issubdtype(dtype, jnp.floating):
        return
    found = type(logits).__name__ if shape is None else f"{dtype} {list(shape)}"
    raise UserError(
        f"{KEY} = {name!r}: it was given images {images.dtype} {list(images.shape)} (batch, height, width, channels) "
        f"and returned {found}: return logits, float32 {list(expected)} (batch, classes)"
    )


def _described(tree: Any) -> dict[str, str]:
    import jax

    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype} {list(leaf.shape)}"
        for path, leaf in leaves
    }

"""The arguments of a call: with modules in them where flax is loaded, plain pytrees elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

import jax

from imctrain.errors import UserError
from imctrain.intercept.arguments import Args, Arguments, Kwargs


@contextlib.contextmanager
def arguments_of(fn: Callable[..., object], args: Args, kwargs: Kwargs, weights: Sequence[int]) -> Iterator[Arguments]:
    """The arguments of a call, until its result is put together.

    Raises UserError for a mutable array (jax.Ref), and for weights that name no argument.
    """
    if "flax.nnx" in sys.modules:  # without it there can be no module, and no need to load it
        from imctrain.intercept.modules import modules_of

        with modules_of(fn, args, kwargs, weights) as given:
            yield _checked(given or Arguments(args, kwargs, weights))
    else:
        yield _checked(Arguments(args, kwargs, weights))


def _checked(given: Arguments) -> Arguments:
    if any(isinstance(leaf, jax.Ref) for leaf in given.leaves):
        raise UserError("an argument holds a mutable array (jax.Ref): give the array itself, and return what changes")
    return given

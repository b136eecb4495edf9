"""Paths of trained parameters: "layers/0/attention/query" of a module's attribute, an equinox field or a key of a dict.

A path leads from a weight argument to a leaf in it. With several weight arguments, and where it would be a bare number
("params/0" of a list), it begins with the argument's name.
What a layer always calls its only matrix says nothing and is left out ("layers/0/kernel" is "layers/0").
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any

import jax
from jax.tree_util import KeyPath
from jaxtyping import PyTree

SAYS_NOTHING = frozenset({"kernel", "weight", "weights", "w", "W", "embedding"})
"""Last parts of a path that the name of a site does without, where something stands before them."""


def paths_in(tree: PyTree, is_leaf: Callable[[object], bool] | None = None) -> Iterator[tuple[KeyPath[Any], object]]:
    """Leaves of a pytree with their paths. An nnx variable in it is one leaf: its own `value` is no part of a path."""
    nnx = sys.modules.get("flax.nnx")

    def whole(leaf: object) -> bool:
        return (nnx is not None and isinstance(leaf, nnx.Variable)) or (is_leaf is not None and is_leaf(leaf))

    yield from jax.tree_util.tree_flatten_with_path(tree, is_leaf=whole)[0]


def as_text(path: KeyPath[Any]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def argument_names(fn: Callable[..., object], weights: Collection[int]) -> dict[int, str]:
    """What each weight argument is called in the function's signature."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):  # what is not written in Python may have no signature
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return {number: named[number] if number < len(named) else f"argument{number}" for number in weights}


def path_in_argument(argument: str, path: str, *, alone: bool) -> str:
    """The path of a leaf. alone: its argument is the only one with weights."""
    return path if alone and not path.partition("/")[0].isdigit() else joined(argument, path)


def joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def site_path(path: str) -> str:
    """The path of a parameter as the name of a site that it is the weight of."""
    before, _, last = path.rpartition("/")
    return before if before and last in SAYS_NOTHING else path

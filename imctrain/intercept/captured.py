"""Which flax nnx modules a function reaches without getting them as arguments: closures, globals, bound methods.

The search is bounded, so a module can be missed. Nothing goes wrong then: to change a missed one is an error of flax,
and one that is only read is found behind the constants of the trace (`variables_behind`).
"""

from __future__ import annotations

import dis
import functools
import gc
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias, TypeGuard

import jax
import numpy as np
from flax import nnx
from jaxtyping import PyTree

DEPTH = 8
"""Steps from a function to a module."""
THINGS = 2000
"""Objects looked at for one function, and elements of one container."""

Node: TypeAlias = nnx.Pytree | nnx.Variable[PyTree]
"""A module, a variable or another object that nnx knows by reference."""

_NUMBERS = (int, float, complex, np.ndarray, np.generic, jax.Array, jax.Ref)
_NOTHING_INSIDE: tuple[type, ...] = (*_NUMBERS, str, bytes, type(None), type, types.ModuleType)


def is_node(thing: object) -> TypeGuard[Node]:
    return isinstance(thing, nnx.Pytree | nnx.Variable)


def is_whole(thing: object) -> bool:
    """Where a walk through pytrees ends: at a node, and at an `nnx.State`, which is a value as any pytree is."""
    return is_node(thing) or isinstance(thing, nnx.State)


def captured_nodes(things: Iterable[object]) -> list[Node]:
    """The outermost nodes that functions, and objects that no pytree opens, reach; each once, nearest first."""
    nodes: list[Node] = []
    seen: dict[int, object] = {}  # holds what it has seen, so that no id is used twice
    level = list(things)
    for _ in range(DEPTH):
        following: list[object] = []
        for thing in level:
            if isinstance(thing, _NOTHING_INSIDE) or id(thing) in seen or len(seen) > THINGS:
                continue
            seen[id(thing)] = thing
            if is_node(thing):
                nodes.append(thing)
            elif not isinstance(thing, nnx.State | nnx.GraphDef):
                following += _inside(thing)
        level = following
    return nodes


def variables_behind(constants: Sequence[object]) -> list[tuple[nnx.Variable[PyTree], object]]:
    """The variables that hold these arrays, each with its array."""
    ids = {id(constant) for constant in constants}
    holders = gc.get_referrers(*constants) if constants else []
    variables = [holder for holder in holders if issubclass(type(holder), nnx.Variable)]
    return [(holder, value) for holder in variables if id(value := holder.get_raw_value()) in ids]


def _inside(thing: object) -> Iterator[object]:
    match thing:
        case types.FunctionType():
            yield from _of_function(thing)
        case types.MethodType():
            yield from (thing.__self__, thing.__func__)
        case functools.partial():
            yield from (thing.func, *thing.args, *thing.keywords.values())
        case dict():
            yield from list(thing.values())[:THINGS]
        case list() | tuple() | set() | frozenset():
            yield from list(thing)[:THINGS]
        case _:
            attributes = getattr(thing, "__dict__", {})
            # Of what wraps a function (jax.jit, on_imc ...), that function is all that matters.
            yield from [attributes["__wrapped__"]] if "__wrapped__" in attributes else attributes.values()


def _of_function(fn: types.FunctionType) -> Iterator[object]:
    for cell in fn.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from fn.__defaults__ or ()
    yield from (fn.__kwdefaults__ or {}).values()
    if "site-packages" not in fn.__code__.co_filename:
        yield from (fn.__globals__[name] for name in _names(fn.__code__) if name in fn.__globals__)


@functools.lru_cache(1024)
def _names(code: types.CodeType) -> tuple[str, ...]:
    """Global names that a function and the functions written inside it look up."""
    own = [step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
    inner = [name for constant in code.co_consts if isinstance(constant, types.CodeType) for name in _names(constant)]
    return tuple(dict.fromkeys(own + inner))

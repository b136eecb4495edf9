"""One call's arguments and results as flat lists of arrays, the form that a jaxpr works on."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, TypeGuard

import jax
import numpy as np
from jax.tree_util import PyTreeDef
from jaxtyping import PyTree

from imctrain.errors import UserError
from imctrain.intercept._jax_internals import (
    ClosedJaxpr,
    Value,
    abstract,
    constants,
    cotangents_marked,
    trace_settings,
)
from imctrain.intercept.parameter_paths import argument_names, as_text, joined, path_in_argument, paths_in

Args: TypeAlias = tuple[PyTree, ...]
Kwargs: TypeAlias = Mapping[str, PyTree]
Leaf: TypeAlias = object
"""A leaf of an argument or a result: an array, or anything that is static."""


class Origin(NamedTuple):
    """Where a leaf of the results comes from.

    Attributes:
        kind: the next output of the jaxpr, an argument's leaf that nothing changed, or a value that is no array.
        argument: number of that leaf. value: that value.
    """

    kind: Literal["output", "argument", "static"]
    argument: int = -1
    value: object = None


class Changes(NamedTuple):
    """What a call did to modules.

    Attributes:
        nodes: what changed, by number of the module. returns_nodes: the results hold modules.
    """

    nodes: Mapping[int, str]
    returns_nodes: bool


NO_CHANGES = Changes({}, False)


class Called(NamedTuple):
    """Results of a traced call: leaves of the state it may have changed, leaves of its result, tree of both."""

    state: list[Leaf]
    out: list[Leaf]
    tree: PyTreeDef
    changes: Changes


@dataclass(frozen=True)
class Results:
    """How the results of a traced function are put together again.

    Attributes:
        tree: the structure of all results.
        leaves: where each leaf comes from.
        changes: what the call did to modules.
    """

    tree: PyTreeDef
    leaves: tuple[Origin, ...]
    changes: Changes

    def filled(self, outputs: Sequence[Value], arguments: Sequence[Leaf]) -> PyTree:
        """The results, from the outputs of the jaxpr and the leaves of the arguments that it was given."""
        given = iter(outputs)
        leaves: list[Leaf] = []
        for kind, argument, value in self.leaves:
            leaves.append(next(given) if kind == "output" else arguments[argument] if kind == "argument" else value)
        return jax.tree.unflatten(self.tree, leaves)


class Arguments:
    """The arguments of one call: pytrees whose leaves that are no arrays (numbers, strings, None ...) are static.

    Attributes:
        leaves, tree: all leaves in order, and their structure (hashable as far as what it holds is).
        trained: of each leaf, whether it is a trained weight.
    """

    def __init__(self, args: Args, kwargs: Kwargs, weights: Sequence[int]):
        self._chosen = chosen = weight_arguments(args, weights)
        self.leaves, self.tree = jax.tree.flatten((args, kwargs))
        self.trained = [number in chosen for number, arg in enumerate(args) for _ in jax.tree.leaves(arg)]
        self.trained += [False] * (len(self.leaves) - len(self.trained))

    @property
    def dynamic(self) -> list[Value]:
        """The leaves that are arrays."""
        return [leaf for leaf in self.leaves if is_array(leaf)]

    def program_key(self) -> Hashable:
        """Equal for calls that have the same program. Its hash raises TypeError where a static leaf has none."""
        places = tuple(is_array(leaf) for leaf in self.leaves)
        static = tuple((type(leaf), leaf) for leaf in self.leaves if not is_array(leaf))
        return self.tree, places, tuple(map(abstract, self.dynamic)), static, trace_settings()

    def parameter_paths(self, fn: Callable[..., object]) -> list[str]:
        """The path of each leaf that is a trained weight; "" for any other, and for one that is a whole argument."""
        arguments, names = argument_names(fn, self._chosen), self._names()
        paths: list[str] = []
        for (part, *where), leaf in paths_in(jax.tree.unflatten(self.tree, self.leaves), self._is_taken_apart):
            # Parts: positional arguments, keywords, what the function closes over (the number of a module names none).
            argument = arguments.get(where[0].idx, "") if part.idx == 0 else ""
            inside = [joined(as_text(tuple(where[1:])), name) for name in names(leaf)]
            paths += [path_in_argument(argument, path, alone=len(arguments) == 1) for path in inside]
        return [path if trained else "" for path, trained in zip(paths, self.trained, strict=True)]

    def _is_taken_apart(self, tree: object) -> bool:
        return False

    def _names(self) -> Callable[[PyTree], list[str]]:
        """Gives the names inside what `paths_in` takes for one leaf, in the order of the tree."""
        return lambda leaf: [""] * len(jax.tree.leaves(leaf))

    def trace(self, fn: Callable[..., object]) -> tuple[ClosedJaxpr, Results]:
        """`fn` of these arguments as a jaxpr from `dynamic` to the arrays among its results."""
        traced: list[Results] = []

        def flat(*dynamic: Value) -> list[Leaf]:
            given = iter(dynamic)
            leaves = [next(given) if is_array(leaf) else leaf for leaf in self.leaves]
            numbers = {id(leaf): number for number, leaf in enumerate(leaves) if is_array(leaf)}
            state, out, tree, changes = self.flatten(fn, leaves)
            origins = [Origin("argument", numbers[id(s)]) if id(s) in numbers else _origin(s) for s in state]
            origins += map(_origin, out)
            traced[:] = [Results(tree, tuple(origins), changes)]
            return [leaf for leaf, origin in zip([*state, *out], origins, strict=True) if origin.kind == "output"]

        with _changes_in_reach(), cotangents_marked():
            jaxpr = jax.make_jaxpr(flat)(*self.dynamic)
        if any(isinstance(constant, jax.Ref) for constant in constants(jaxpr)):
            raise UserError("the function closes over a mutable array (jax.Ref): give it the array as an argument")
        return jaxpr, traced[0]

    def flatten(self, fn: Callable[..., object], leaves: Sequence[Leaf]) -> Called:
        """Call `fn` with these leaves."""
        args, kwargs = jax.tree.unflatten(self.tree, leaves)
        out, tree = jax.tree.flatten(fn(*args, **kwargs))
        return Called([], out, tree, NO_CHANGES)

    def result(self, results: Results, outputs: Sequence[Value]) -> PyTree:
        """What the call returns, from the outputs of the jaxpr."""
        return results.filled(outputs, self.leaves)


def weight_arguments(args: Args, weights: Sequence[int]) -> set[int]:
    """Which positional arguments hold the trained weights, counted from 0."""
    for number in weights:
        if not -len(args) <= number < len(args):
            raise UserError(f"weights = {number} names no argument: the call has {len(args)} positional ones")
    return {number % len(args) for number in weights}


def constants_hold(jaxpr: ClosedJaxpr) -> Callable[[], bool]:
    """Whether the nnx variables that a trace took constants from still hold these: asked before each reuse."""
    if "flax.nnx" not in sys.modules:
        return lambda: True
    from imctrain.intercept.captured import variables_behind

    behind = variables_behind([constant for constant in constants(jaxpr) if isinstance(constant, jax.Array)])
    return lambda: all(variable.get_raw_value() is value for variable, value in behind)


def is_array(leaf: object) -> TypeGuard[Value]:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


@contextlib.contextmanager
def _changes_in_reach() -> Iterator[None]:
    """flax's refusal to change an object inside a trace that does not own it, as UserError."""
    try:
        yield
    except Exception as error:
        known = sys.modules.get("flax.errors")
        if known is None or not isinstance(error, known.TraceContextError):
            raise
        what = str(error).split(" (http")[0]
        raise UserError(
            f"the function changes a flax nnx object where the change would be lost ({what}): pass the module as an "
            "argument; inside the function, nnx.vmap, nnx.scan ... take it where jax.vmap, jax.lax.scan ... do not"
        ) from error


def _origin(leaf: Leaf) -> Origin:
    return Origin("output") if is_array(leaf) else Origin("static", value=leaf)

"""flax nnx modules as arguments and closures: state goes in and comes out, as under `nnx.jit`.

A module is taken apart into structure and values (1), put together inside the trace (2), called, taken apart again (3),
and what changed goes back into the caller's own objects (4): values, variables that came or went, attributes. The four
steps are those of `nnx.update_context`, which keeps shared references.

The trained weights of a module are its `nnx.Param`s. Everything else in it (batch statistics, caches, RNG state, plain
arrays) counts as data, as it would in an argument of its own.

Imported only where flax is loaded: without it there can be no module.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import jax
import jax.numpy as jnp
from flax import errors, nnx
from jaxtyping import PyTree

from imctrain.errors import UserError
from imctrain.intercept._jax_internals import Value
from imctrain.intercept.arguments import Args, Arguments, Called, Changes, Kwargs, Leaf, Results, weight_arguments
from imctrain.intercept.captured import Node, captured_nodes, is_node, is_whole

TAG = "imctrain.on_imc"
"""Names the update context of the four steps."""


Containers = dict[tuple[int, str], object]
"""Content of plain containers, by place and name of the attribute."""


@contextlib.contextmanager
def modules_of(
    fn: Callable[..., object], args: Args, kwargs: Kwargs, weights: Sequence[int]
) -> Iterator[Arguments | None]:
    """The arguments of a call with modules, until their state is put back; None where no module takes part."""
    leaves = jax.tree.leaves((args, kwargs), is_leaf=is_whole)
    captured = captured_nodes([fn, *(leaf for leaf in leaves if not is_whole(leaf))])
    given = [leaf for leaf in leaves if is_node(leaf)]
    if any(map(_is_variable, captured)):  # one that a module holds is the module's
        holders = given + [node for node in captured if not _is_variable(node)]
        inside = {id(part) for node in holders for part in _parts(node)}
        captured = [node for node in captured if not (_is_variable(node) and id(node) in inside)]
    if not captured and not given:
        yield None
        return
    with nnx.update_context(TAG):
        yield ModuleArguments(args, kwargs, captured, weights)


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["graph"])
@dataclass(frozen=True)
class Apart:
    """A module as its structure, and the value of each variable or array in it."""

    graph: nnx.GraphDef[Node]
    values: list[PyTree]


class ModuleArguments(Arguments):
    """Arguments of a call with modules. Lives inside an update context of its own.

    Args:
        captured: nodes that the function reaches by itself; arguments like the others, but no one passes them.
    """

    def __init__(self, args: Args, kwargs: Kwargs, captured: list[Node], weights: Sequence[int]):
        self._chosen = chosen = weight_arguments(args, weights)
        self._captured = captured
        whole = (args, kwargs, captured)
        self._roots = _nodes(whole)
        # What another trace owns may be read here, but not changed: a copy stands in for it.
        foreign = {id(root): root for root in self._roots if not _may_change(root)}
        self._foreign = [number for number, root in enumerate(self._roots) if id(root) in foreign]
        if foreign:
            copies = dict(zip(foreign, nnx.clone(list(foreign.values()), graph=True), strict=True))
            args, kwargs, captured = _map_nodes(lambda node: copies.get(id(node), node), whole)
        weight_trees = [args[number] for number in chosen] + [captured]
        self._params = {id(v) for root in _nodes(weight_trees) for v in _parts(root) if isinstance(v, nnx.Param)}
        self._paths: list[tuple[str, ...]] = []
        self.trained: list[bool] = []
        with nnx.split_context(TAG) as context:
            split_args = tuple(self._apart(context, arg, number in chosen) for number, arg in enumerate(args))
            apart = (split_args, self._apart(context, kwargs, False), self._apart(context, captured, False))
        self.leaves, self.tree = jax.tree.flatten(apart)
        self._containers = _containers(filter(_is_apart, jax.tree.leaves(apart, is_leaf=_is_apart)))

    def program_key(self) -> Hashable:
        return super().program_key(), tuple(self._containers.items())

    def _is_taken_apart(self, tree: object) -> bool:
        return _is_apart(tree)

    def _names(self) -> Callable[[PyTree], list[str]]:
        paths, plain = iter(self._paths), super()._names()

        def names(leaf: PyTree) -> list[str]:
            if not _is_apart(leaf):
                return plain(leaf)
            return [path for path, value in zip(next(paths), leaf.values, strict=True) for _ in jax.tree.leaves(value)]

        return names

    def _apart(self, context: nnx.SplitContext, tree: PyTree, is_weight: bool) -> PyTree:
        """A pytree with its nodes taken apart; notes which of its leaves are weights, and their names."""

        def apart(leaf: object) -> object:
            if not is_node(leaf):
                self.trained += [is_weight] * len(jax.tree.leaves(leaf))
                return leaf
            graph, flat = context.flatten(leaf)
            values = list(map(_value, flat.leaves))  # type: ignore[union-attr]
            for part, value in zip(flat.leaves, values, strict=True):  # type: ignore[union-attr]
                self.trained += [id(part) in self._params] * len(jax.tree.leaves(value))
            self._paths.append(tuple("/".join(map(str, path)) for path in flat.paths))  # type: ignore[union-attr]
            return Apart(graph, values)

        return jax.tree.map(apart, tree, is_leaf=is_whole)

    def flatten(self, fn: Callable[..., object], leaves: Sequence[Leaf]) -> Called:
        apart = jax.tree.unflatten(self.tree, leaves)
        with nnx.merge_context(TAG, True) as merge:
            args, kwargs, captured = _together(merge, apart)
        roots = _nodes((args, kwargs, captured))
        before = [leaf for leaf in jax.tree.leaves(apart, is_leaf=_is_apart) if _is_apart(leaf)]
        containers = _containers(before)
        with _standing_in(captured, self._captured) as traced:
            out = fn(*args, **kwargs)
            for own, variable in zip(self._captured, captured, strict=True):
                if _is_variable(own):
                    _fill(variable, _content(own))
            with nnx.split_context(TAG) as context:
                after = [_split(context, root) for root in roots]
                result = _map_nodes(lambda node: _split(context, traced.get(id(node), node)), out)
        _refuse_changed(containers, _containers(before))
        changes = {
            number: changed
            for number, pair in enumerate(zip(before, after, self._paths, strict=True))
            if (changed := _change(*pair)) is not None
        }
        returns_nodes = any(map(_is_apart, jax.tree.leaves(result, is_leaf=_is_apart)))
        structure = jax.tree.structure((after, result))
        return Called(jax.tree.leaves(after), jax.tree.leaves(result), structure, Changes(changes, returns_nodes))

    def result(self, results: Results, outputs: Sequence[Value]) -> PyTree:
        """What the call returns; what it changed in modules is changed.

        Raises UserError where the change belongs to a module of a trace around this call.
        """
        changes, returns_nodes = results.changes
        for number in self._foreign:
            if number in changes:
                raise UserError(
                    f"the function changes {changes[number]} of a {type(self._roots[number]).__name__} that comes "
                    "from outside of a jax.jit, jax.grad, jax.vmap ... around this call, where the change would be "
                    "lost: give the module to that transform as an argument, and take nnx.jit, nnx.grad, nnx.vmap ..."
                )
        after, result = results.filled(outputs, self.leaves)
        if changes or returns_nodes:
            with nnx.merge_context(TAG, False) as context:
                _, result = _together(context, (after, result))
        return result


def _nodes(tree: PyTree) -> list[Node]:
    return [leaf for leaf in jax.tree.leaves(tree, is_leaf=is_whole) if is_node(leaf)]


def _map_nodes(fn: Callable[[Node], object], tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: fn(leaf) if is_node(leaf) else leaf, tree, is_leaf=is_whole)


def _parts(root: Node) -> list[Node]:
    """The nodes inside a node, itself included, in an order that its structure alone decides."""
    return [part for _, part in nnx.iter_graph(root, graph=True) if is_node(part)]


def _is_variable(node: object) -> TypeGuard[nnx.Variable[PyTree]]:
    return isinstance(node, nnx.Variable)


def _is_apart(tree: object) -> TypeGuard[Apart]:
    return isinstance(tree, Apart)


def _split(context: nnx.SplitContext, node: Node) -> Apart:
    graph, flat = context.flatten(node)
    return Apart(graph, list(map(_value, flat.leaves)))  # type: ignore[union-attr]


def _together(context: nnx.MergeContext, tree: PyTree) -> PyTree:
    def together(leaf: object) -> object:
        return context.unflatten(leaf.graph, leaf.values) if _is_apart(leaf) else leaf

    return jax.tree.map(together, tree, is_leaf=lambda leaf: _is_apart(leaf) or isinstance(leaf, nnx.State))


def _value(part: object) -> PyTree:
    """What a variable holds, numbers as arrays: they would be another program with every new value."""
    if not _is_variable(part):
        return _number(part)
    if part.hijax or part.ref:
        raise UserError(
            f"a module holds a {type(part).__name__} with {'hijax' if part.hijax else 'ref'} = True, which changes "
            "behind the back of a traced function: make it an ordinary variable"
        )
    return jax.tree.map(_number, part.get_raw_value())


def _number(leaf: object) -> object:
    return jnp.asarray(leaf) if isinstance(leaf, bool | int | float | complex) else leaf


def _may_change(root: Node) -> bool:
    """Whether a node belongs to the trace that runs now."""
    try:
        nnx.to_tree((root,), prefix=(None,), split_fn=lambda *_: None)
    except (ValueError, errors.TraceContextError):
        return False
    return True


@contextlib.contextmanager
def _standing_in(inner: list[Node], outer: list[Node]) -> Iterator[dict[int, Node]]:
    """While it lasts, the nodes that a function closes over have the content of those of the trace.

    A module shares its dictionary with the one of the trace, so that what is set on one is set on both. Gives the nodes
    of the trace by the id of the node that has their content.
    """
    pairs = [pair for both in zip(outer, inner, strict=True) for pair in zip(*map(_parts, both), strict=True)]
    roots = set(map(id, outer))
    pairs = [(own, traced) for own, traced in pairs if id(own) in roots or not _is_variable(own)]
    kept = [(own, _content(own)) for own, _ in pairs]
    try:
        for own, traced in pairs:
            _fill(own, _content(traced))
        yield {id(own): traced for own, traced in pairs}
    finally:
        for own, content in reversed(kept):
            _fill(own, content)


def _content(node: Node) -> PyTree:
    return node.__getstate__() if _is_variable(node) else node.__dict__


def _fill(node: Node, content: PyTree) -> None:
    if _is_variable(node):
        node.__setstate__(content)
    else:
        object.__setattr__(node, "__dict__", content)


def _containers(aparts: Iterable[Apart]) -> Containers:
    """Plain lists, dicts and sets among the attributes of modules, and what is in them now.

    nnx takes them for structure, so they are the caller's own, and a traced function changes them once, not at every
    call.
    """
    return {
        (place, str(name)): _inside(attribute.value)
        for place, (name, attribute) in enumerate(pair for apart in aparts for pair in apart.graph.attributes)
        if isinstance(attribute, nnx.graphlib.Static) and isinstance(attribute.value, list | dict | set)
    }


def _inside(value: object) -> object:
    match value:
        case list() | tuple():
            return tuple(map(_inside, value))
        case dict():
            return tuple((key, _inside(item)) for key, item in value.items())
        case set():
            return frozenset(value)
    return value


def _refuse_changed(before: Containers, after: Containers) -> None:
    for place, content in before.items():
        try:
            same = content == after[place]
        except Exception:  # traced arrays cannot be compared
            same = False
        if not same:
            raise UserError(
                f"the function changes {place[1]!r} of a module in place, a plain Python container, which a traced "
                "function does once and not at every call: make it an nnx.Variable or nnx.List, or return what it holds"
            )


def _change(before: Apart, after: Apart, paths: Sequence[str]) -> str | None:
    """What a call changed in a node, or None."""
    if after.graph.with_no_outer_index() != before.graph:
        return "the variables or attributes"
    for path, old, new in zip(paths, before.values, after.values, strict=True):
        old_leaves, new_leaves = jax.tree.leaves(old), jax.tree.leaves(new)
        if len(old_leaves) != len(new_leaves) or any(a is not b for a, b in zip(old_leaves, new_leaves, strict=True)):
            return path or "the value"
    return None

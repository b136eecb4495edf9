"""Proof that no matmul is left outside: every product in a jaxpr, sorted by where it is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import jax
from jaxtyping import PyTree

from imctrain.imc.engines.base import ARRAY_SCOPE, FORMATS_SCOPE
from imctrain.intercept._jax_internals import ClosedJaxpr, Jaxpr, Value, scopes, sub_jaxprs
from imctrain.intercept.arguments import is_array
from imctrain.intercept.known_primitives import ARRAY_OPERATIONS
from imctrain.intercept.naming import scope_path, unique_names
from imctrain.intercept.operations import SHORT_NAMES
from imctrain.intercept.primitives import hidden_product, is_array_operation

Where = Literal["array", "formats", "outside"]


@dataclass(frozen=True)
class MatmulCount:
    """Matmuls and convolutions in a program, each written once however often it runs.

    Attributes:
        array: computed by a site on the array. formats: by a site whose path is "digital" (number formats only).
        outside: floating-point products of no site: those a rule left digital, and any that was missed.
    """

    array: int = 0
    formats: int = 0
    outside: int = 0


def count_matmuls(jaxpr: Jaxpr | ClosedJaxpr) -> MatmulCount:
    """Count the matmuls of a jaxpr, those of all jaxprs inside it included.

    Derivatives that JAX has not taken yet hold matmuls that no jaxpr shows: count the jaxpr of a differentiated step.
    """
    places = [where for where, _, _ in _matmuls(_open(jaxpr), ())]
    return MatmulCount(*(places.count(where) for where in ("array", "formats", "outside")))


def digital_matmuls(fn: Callable[..., object], *args: PyTree, **kwargs: PyTree) -> list[str]:
    """Names of the floating-point matmuls that `fn(*args, **kwargs)` computes outside of every site.

    For a differentiated train step these are the forward and backward products of the sites that a rule left float;
    names follow the scopes, as site names do, and products of one scope are numbered.

    Args:
        args, kwargs: pytrees of arrays or `jax.ShapeDtypeStruct`s; leaves that are no arrays (numbers, strings,
            functions ...) are static, as those of a function of `on_imc` are.
    """
    leaves, tree = jax.tree.flatten((args, kwargs))
    places = [place for place, leaf in enumerate(leaves) if is_array(leaf)]

    def of_arrays(*arrays: Value) -> list[Value]:
        full = list(leaves)
        for place, array in zip(places, arrays, strict=True):
            full[place] = array
        given, named = jax.tree.unflatten(tree, full)
        return [leaf for leaf in jax.tree.leaves(fn(*given, **named)) if is_array(leaf)]

    jaxpr = jax.make_jaxpr(of_arrays)(*(leaves[place] for place in places))
    outside = [(scope, kind) for where, scope, kind in _matmuls(jaxpr.jaxpr, ()) if where == "outside"]
    return unique_names(outside)


def _matmuls(jaxpr: Jaxpr, prefix: tuple[str, ...]) -> Iterator[tuple[Where, str, str]]:
    for eqn in jaxpr.eqns:
        stack = prefix + scopes(eqn)
        kind = eqn.primitive.name
        where = _where(stack)
        # A site multiplies integer codes; outside of sites, products of integers are indices, masks and counts.
        integers = where != "outside" and kind in ARRAY_OPERATIONS
        hidden = where == "outside" and hidden_product(eqn) is not None
        if integers or hidden or is_array_operation(eqn):
            yield where, scope_path(stack), SHORT_NAMES.get(kind, kind)
        for inner in sub_jaxprs(eqn.params):
            yield from _matmuls(inner, stack)


def _where(stack: tuple[str, ...]) -> Where:
    if ARRAY_SCOPE in stack:
        return "array"
    return "formats" if FORMATS_SCOPE in stack else "outside"


def _open(jaxpr: Jaxpr | ClosedJaxpr) -> Jaxpr:
    return jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr

"""Where values come from: a small abstract interpretation of jaxprs, through every jaxpr inside them.

Each variable gets a `Fact`: whether data, trained weights or gradients flow into it, and whether it is provably >= 0.
From two facts a site knows how to encode its operands.

    weight      no data flows in: weights, constants and what is computed from them
    activation  data flows in
    gradient    a cotangent of a backward pass flows in
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from imctrain.imc.mvm.operand import OperandInfo
from imctrain.intercept._jax_internals import (
    Atom,
    ClosedJaxpr,
    JaxprEqn,
    Literal,
    Value,
    Var,
    aval,
    closed,
    is_cotangent,
)
from imctrain.intercept.known_primitives import REFERENCES
from imctrain.intercept.nonneg import is_nonneg_value, nonneg_outputs
from imctrain.intercept.origin import Origin, Place, common, largest, place_of_result
from imctrain.intercept.primitives import is_array_operation

CALLS: Mapping[str, str] = {
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "call": "call_jaxpr",
    "composite": "jaxpr",
    "remat2": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
"""Primitives that apply one jaxpr to their operands, and the parameter that holds it."""

LOOPS_AND_BRANCHES = frozenset({"scan", "while", "cond"})

_SAME_VALUE = frozenset({"copy", "copy_p", "stop_gradient", "sharding_constraint", "name"})
_idents = itertools.count()


@dataclass(frozen=True)
class Fact:
    """What is known of one value.

    Attributes:
        data: depends on an argument that holds no weights.
        trained: a gradient flows through it to a weight.
        gradient: depends on a cotangent.
        nonneg: provably >= 0 (NaN aside).
        ident: equal for two variables that hold the same value.
        if_true, if_false: of a predicate (bool, or converted from one): idents of the values that are >= 0 when it
            holds, or does not.
        origin: of a value that holds no data: the parameter that it was made of.
        place: of data: the part of the model that made it, as far as it is known (see `origin`).
    """

    data: bool = False
    trained: bool = False
    gradient: bool = False
    nonneg: bool = False
    ident: int = -1
    if_true: frozenset[int] = frozenset()
    if_false: frozenset[int] = frozenset()
    origin: Origin | None = None
    place: Place | None = None

    def __post_init__(self) -> None:
        if self.ident < 0:
            object.__setattr__(self, "ident", next(_idents))

    def operand(self, *, differentiated: bool) -> OperandInfo:
        """What a site is told. `differentiated`: the site's own backward MVMs may run."""
        kind = "gradient" if self.gradient else "activation" if self.data else "weight"
        return OperandInfo(kind, self.nonneg, differentiated=differentiated and self.trained)  # type: ignore[arg-type]


def weight_fact(leaf: Value, path: str = "") -> Fact:
    """Of a leaf of a `weights` argument, at this path in it."""
    origin = Origin(path, math.prod(jnp.shape(leaf))) if path else None
    return Fact(trained=_is_inexact(leaf), nonneg=_is_unsigned(leaf), origin=origin)


def data_fact(leaf: Value) -> Fact:
    """Of a leaf of any other argument."""
    return Fact(data=True, nonneg=_is_unsigned(leaf))


def constant_fact(value: object) -> Fact:
    """Of a constant of a jaxpr. A tracer that the function closes over could be anything: data that trains."""
    if isinstance(value, jax.core.Tracer):
        return Fact(data=True, trained=True)
    return Fact(nonneg=is_nonneg_value(value))


def propagate(jaxpr: ClosedJaxpr, facts: Sequence[Fact]) -> list[Fact]:
    """Facts of a jaxpr's outputs from facts of its inputs."""
    known = Facts(jaxpr, facts)
    for eqn in jaxpr.jaxpr.eqns:
        known.write(eqn, transfer(eqn, known.read(eqn.invars)))
    return known.read(jaxpr.jaxpr.outvars)


class Facts:
    """Facts of the variables of one jaxpr, filled in the order of its equations."""

    def __init__(self, jaxpr: ClosedJaxpr, inputs: Sequence[Fact]):
        self._known: dict[Var, Fact] = dict(zip(jaxpr.jaxpr.invars, inputs, strict=True))
        self._known |= {v: constant_fact(c) for v, c in zip(jaxpr.jaxpr.constvars, jaxpr.consts, strict=True)}

    def read(self, atoms: Iterable[Atom]) -> list[Fact]:
        return [constant_fact(a.val) if isinstance(a, Literal) else self._known[a] for a in atoms]

    def write(self, eqn: JaxprEqn, facts: Sequence[Fact]) -> None:
        self._known |= dict(zip(eqn.outvars, facts, strict=True))


def transfer(eqn: JaxprEqn, facts: Sequence[Fact]) -> list[Fact]:
    """Facts of an equation's outputs."""
    if eqn.primitive.name in CALLS or eqn.primitive.name in LOOPS_AND_BRANCHES:
        children = enter(eqn, facts)
        return leave(eqn, facts, [propagate(child, inputs) for child, inputs in children])
    return _first_order(eqn, facts)


def enter(eqn: JaxprEqn, facts: Sequence[Fact]) -> list[tuple[ClosedJaxpr, list[Fact]]]:
    """The jaxprs inside a call, loop or branch, each with the facts of its inputs (of loops: at any iteration)."""
    params = eqn.params
    match eqn.primitive.name:
        case "cond":
            return [(branch, list(facts[1:])) for branch in params["branches"]]
        case "scan":
            body, inputs = _scan_inputs(eqn, facts)
            return [(body, inputs)]
        case "while":
            condition, body = params["cond_jaxpr"], params["body_jaxpr"]
            first, second = params["cond_nconsts"], params["body_nconsts"]
            cond_consts, body_consts = facts[:first], facts[first : first + second]
            carry = _fixpoint(facts[first + second :], lambda c: propagate(body, [*body_consts, *c]))
            return [(condition, [*cond_consts, *carry]), (body, [*body_consts, *carry])]
        case name:
            return [(closed(params[CALLS[name]]), list(facts))]


def leave(eqn: JaxprEqn, facts: Sequence[Fact], outputs: Sequence[Sequence[Fact]]) -> list[Fact]:
    """Facts of the equation's outputs from those of the jaxprs that `enter` gave."""
    params = eqn.params
    match eqn.primitive.name:
        case "cond":
            joined = [_join_all(branches) for branches in zip(*outputs, strict=True)]
            return [replace(fact, data=fact.data or facts[0].data) for fact in joined]
        case "scan":
            first, count = params["num_consts"], params["num_carry"]
            start = facts[first : first + count]
            carry = outputs[0][:count]
            if params["length"] == 0:
                carry = [_join(a, b) for a, b in zip(start, carry, strict=True)]
            return [*map(_renamed, carry), *map(_renamed, outputs[0][count:])]
        case "while":
            start = facts[params["cond_nconsts"] + params["body_nconsts"] :]
            carry = [_join(a, b) for a, b in zip(start, outputs[1], strict=True)]
            return [replace(fact, data=fact.data or outputs[0][0].data) for fact in carry]
        case _:
            return list(outputs[0])


def _scan_inputs(eqn: JaxprEqn, facts: Sequence[Fact]) -> tuple[ClosedJaxpr, list[Fact]]:
    body: ClosedJaxpr = eqn.params["jaxpr"]
    first, count = eqn.params["num_consts"], eqn.params["num_carry"]
    consts, slices = facts[:first], [_renamed(fact) for fact in facts[first + count :]]
    carry = _fixpoint(facts[first : first + count], lambda c: propagate(body, [*consts, *c, *slices])[:count])
    return body, [*consts, *carry, *slices]


def _fixpoint(start: Sequence[Fact], step: Callable[[list[Fact]], list[Fact]]) -> list[Fact]:
    """Facts of a loop's carry that hold before every iteration. Ends: each join only weakens a finite fact."""
    carry = [_renamed(fact) for fact in start]
    while True:
        joined = [_join(a, b) for a, b in zip(carry, step(carry), strict=True)]
        if [_flags(fact) for fact in joined] == [_flags(fact) for fact in carry]:
            return carry
        carry = [_renamed(fact) for fact in joined]


def _flags(fact: Fact) -> tuple[object, ...]:
    return fact.data, fact.trained, fact.gradient, fact.nonneg, fact.origin, fact.place


def _join(a: Fact, b: Fact) -> Fact:
    """What holds of a value that is one or the other."""
    return Fact(
        data=a.data or b.data,
        trained=a.trained or b.trained,
        gradient=a.gradient or b.gradient,
        nonneg=a.nonneg and b.nonneg,
        ident=a.ident if a.ident == b.ident else -1,
        origin=a.origin if a.origin == b.origin else None,
        place=common((a.place, b.place)),
    )


def _join_all(facts: Sequence[Fact]) -> Fact:
    joined = facts[0]
    for fact in facts[1:]:
        joined = _join(joined, fact)
    return joined


def _renamed(fact: Fact) -> Fact:
    """The same of another value: an iteration's carry or slice is not the one of the iteration before."""
    return replace(fact, ident=-1, if_true=frozenset(), if_false=frozenset())


def _first_order(eqn: JaxprEqn, facts: Sequence[Fact]) -> list[Fact]:
    name = eqn.primitive.name
    data, gradient = any(f.data for f in facts), is_cotangent(eqn) or any(f.gradient for f in facts)
    trained = any(f.trained for f in facts) and name != "stop_gradient"
    if name in REFERENCES:
        # What was written to a mutable array is not followed: it could be anything, as a closed-over tracer.
        data, trained = True, True
    origin, place = largest(f.origin for f in facts), common(f.place for f in facts)
    if is_array_operation(eqn):
        place = place_of_result(origin, place)
    known = Fact(data=data, gradient=gradient, origin=None if data else origin, place=place)
    outputs = [
        replace(known, trained=trained and _is_inexact(aval(outvar)), nonneg=nonneg, ident=-1)
        for outvar, nonneg in zip(eqn.outvars, nonneg_outputs(eqn, facts), strict=True)
    ]
    if name in _SAME_VALUE:
        outputs = [replace(outputs[0], ident=facts[0].ident)]
    if name in _GUARDS or name in _SAME_VALUE or name in ("convert_element_type", "and"):
        if_true, if_false = _guards(eqn, facts)
        outputs = [replace(outputs[0], if_true=if_true, if_false=if_false)]
    return outputs


_GUARDS = {"gt": True, "ge": True, "lt": False, "le": False}


def _guards(eqn: JaxprEqn, facts: Sequence[Fact]) -> tuple[frozenset[int], frozenset[int]]:
    """What a predicate proves: x > y with y >= 0 proves x >= 0, and when it fails, x >= 0 proves y >= 0."""
    name = eqn.primitive.name
    if name in _GUARDS:
        larger, smaller = facts if _GUARDS[name] else reversed(facts)
        if_true = {larger.ident} if smaller.nonneg else set()
        return frozenset(if_true), frozenset({smaller.ident} if larger.nonneg else set())
    if name == "and":
        return facts[0].if_true | facts[1].if_true, frozenset()
    if name == "convert_element_type" and aval(eqn.invars[0]).dtype != jnp.bool_:
        return frozenset(), frozenset()
    return facts[0].if_true, facts[0].if_false


def _is_inexact(leaf: object) -> bool:
    return bool(jnp.issubdtype(getattr(leaf, "dtype", None) or jnp.result_type(leaf), jnp.inexact))


def _is_unsigned(leaf: Value) -> bool:
    dtype = jnp.result_type(leaf) if isinstance(leaf, int | float | complex) else leaf.dtype
    return dtype == jnp.bool_ or bool(jnp.issubdtype(dtype, jnp.unsignedinteger))

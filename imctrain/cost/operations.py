"""Elementwise operations of a program, counted from its jaxpr: batch norm, activations, loss, optimizer, clips.

Matmuls are left out: they are sites. What only moves or converts elements is free. An operation on integers or truth
values is no arithmetic of the training (indices, masks); a comparison of floats counts as an addition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax.numpy as jnp


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ADDITIONS = _names("add add_any sub max min clamp select_n eq ne ge gt le lt sign round floor ceil rem nextafter")
MULTIPLICATIONS = _names("mul div square integer_pow reciprocal")
FUNCTIONS = _names("""
    acos acosh asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt cos cosh digamma erf erf_inv erfc exp exp2 expm1
    lgamma log log1p logistic pow rsqrt sin sinh sqrt tan tanh polygamma zeta igamma igammac igamma_grad_a
    regularized_incomplete_beta
""")
"""Counted as one of its own: a table and a multiply-add, or a few steps."""
WINDOWS = _names("reduce_window_sum reduce_window_max reduce_window_min reduce_window select_and_gather_add")
"""An addition an element of every window."""
REDUCTIONS = _names("""
    reduce_sum reduce_max reduce_min reduce_prod reduce argmax argmin cumsum cummax cummin cumprod cumlogsumexp sort
    top_k approx_top_k scatter-add scatter-max scatter-min scatter-mul select_and_scatter_add
""")
"""An addition an element that goes in."""


class Equation(Protocol):
    """What is looked at of an equation of a jaxpr."""

    @property
    def primitive(self) -> Any: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def invars(self) -> Sequence[Any]: ...
    @property
    def outvars(self) -> Sequence[Any]: ...


@dataclass(frozen=True)
class Operations:
    """Numbers of floating-point operations. unbounded: loops whose number of turns shows only when they run; counted
    once."""

    additions: float = 0.0
    multiplications: float = 0.0
    functions: float = 0.0
    random_bits: float = 0.0
    unbounded: int = 0

    def __add__(self, other: Operations) -> Operations:
        return Operations(
            self.additions + other.additions,
            self.multiplications + other.multiplications,
            self.functions + other.functions,
            self.random_bits + other.random_bits,
            self.unbounded + other.unbounded,
        )

    def times(self, count: float) -> Operations:
        """Done so often."""
        return Operations(
            count * self.additions,
            count * self.multiplications,
            count * self.functions,
            count * self.random_bits,
            self.unbounded,
        )

    @property
    def total(self) -> float:
        """All of them; random bits left out."""
        return self.additions + self.multiplications + self.functions


def count_operations(jaxpr: Any) -> Operations:
    """Of everything in a jaxpr (of `jax.make_jaxpr`) but its matmuls. Of a branch, the dearest side counts."""
    return sum((_of_equation(eqn) for eqn in jaxpr.eqns), Operations())


def _of_equation(eqn: Equation) -> Operations:
    name = eqn.primitive.name
    if name == "cond":
        return max((count_operations(branch) for branch in eqn.params["branches"]), key=lambda found: found.total)
    nested = [count_operations(child) for child in _children(eqn)]
    if nested:
        total = sum(nested, Operations())
        if name == "scan":
            return total.times(eqn.params["length"])
        if name == "while":
            return total + Operations(unbounded=1)
        return total
    if name == "random_bits":
        return Operations(random_bits=_size(eqn.outvars[0]) * eqn.params["bit_width"])
    if name in ("threefry2x32", "philox2x32"):
        return Operations(random_bits=32.0 * sum(_size(v) for v in eqn.outvars))
    if not _of_floats(eqn):
        return Operations()
    if name in ADDITIONS:
        return Operations(additions=_size(eqn.outvars[0]))
    if name == "integer_pow":
        return Operations(multiplications=_size(eqn.outvars[0]) * max(abs(eqn.params["y"]) - 1, 1))
    if name in MULTIPLICATIONS:
        return Operations(multiplications=_size(eqn.outvars[0]))
    if name in FUNCTIONS:
        return Operations(functions=_size(eqn.outvars[0]))
    if name in WINDOWS:
        window = eqn.params.get("window_dimensions", ())
        return Operations(additions=_size(eqn.outvars[0]) * math.prod(window))
    if name in REDUCTIONS:
        return Operations(additions=max(_size(v) for v in eqn.invars))
    return Operations()


def _children(eqn: Equation) -> Iterator[Any]:
    """Jaxprs that an equation runs; of a custom derivative its plain evaluation alone. What a reduction does with two
    elements is none: it is counted by its elements."""
    if eqn.primitive.name in REDUCTIONS | WINDOWS or eqn.primitive.name.startswith("scatter"):
        return
    for value in eqn.params.values():
        yield from (item for item in (value if isinstance(value, tuple | list) else (value,)) if hasattr(item, "eqns"))


def _size(atom: object) -> int:
    return int(getattr(getattr(atom, "aval", None), "size", 0))


def _of_floats(eqn: Equation) -> bool:
    return any(jnp.issubdtype(getattr(v.aval, "dtype", jnp.int32), jnp.inexact) for v in (*eqn.invars, *eqn.outvars))

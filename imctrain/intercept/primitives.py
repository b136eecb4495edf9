"""Which equations are matmuls, which hide one or may, and which are left as they are.

What stays digital without a word is only what is known to multiply no matrices (`known_primitives.MULTIPLY_NOTHING`):
elementwise operations, reductions, gathers, FFTs, random numbers. So do products of integers (indices, masks, counts),
which are no part of training. A product that a model spells out as a multiplication and a sum is elementwise too: only
what is written as a matmul or a convolution runs on the array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jax.numpy as jnp

from imctrain.intercept._jax_internals import Atom, Jaxpr, JaxprEqn, aval, sub_jaxprs
from imctrain.intercept.known_primitives import (
    ARRAY_OPERATIONS,
    FOREIGN,
    HIDDEN_MATMULS,
    LINEAR_ALGEBRA,
    MULTIPLY_NOTHING,
    NESTED,
)


def is_array_operation(eqn: JaxprEqn) -> bool:
    """A matmul or convolution of numbers that are not all integers, and that is not empty."""
    if eqn.primitive.name not in ARRAY_OPERATIONS:
        return False
    return _any_inexact(eqn.invars[:2]) and all(aval(v).size > 0 for v in (*eqn.invars[:2], eqn.outvars[0]))


def hidden_product(eqn: JaxprEqn) -> str | None:
    """Why an equation by itself multiplies matrices out of sight, or may; None if it does not.

    An equation without results (a printed value) adds nothing to the program, whatever it computes.
    """
    name = eqn.primitive.name
    if name in ARRAY_OPERATIONS or name in MULTIPLY_NOTHING or not eqn.outvars:
        return None
    if name in HIDDEN_MATMULS:
        return f"{name} multiplies matrices where they cannot be intercepted" if _any_inexact(eqn.outvars) else None
    if name in LINEAR_ALGEBRA:
        what = "has no array mapping, and its derivative multiplies matrices where they cannot be intercepted"
        return f"{name} {what}" if _any_inexact(eqn.outvars) else None
    if not _any_inexact([*eqn.invars, *eqn.outvars]):
        return None
    if name in FOREIGN:
        return f"what {name} computes cannot be seen, and may be a product of matrices"
    if name in NESTED and sub_jaxprs(eqn.params):
        return None
    return f"{name} is not known to multiply no matrices"


def obstacle(eqn: JaxprEqn) -> str | None:
    """Why an equation that multiplies matrices, or may, cannot be a site; None for one that multiplies none.

    Not for array operations, nor for calls, loops and branches, which are looked into.
    """
    reason = hidden_product(eqn)
    if reason is not None:
        return reason
    inner = next((found for jaxpr in sub_jaxprs(eqn.params) for found in _products(jaxpr)), None)
    if inner is None:
        return None
    name = eqn.primitive.name
    return f"{inner} (inside {name})" if inner else f"a matmul inside {name} cannot be intercepted"


def holds_matmul(jaxpr: Jaxpr) -> bool:
    """Whether a matmul, open or hidden, is found in a jaxpr or in any jaxpr inside it."""
    return any(True for _ in _products(jaxpr))


def _products(jaxpr: Jaxpr) -> Iterator[str]:
    """For each product in a jaxpr and in those inside it: why it is hidden, or "" for a plain matmul."""
    for eqn in jaxpr.eqns:
        reason = "" if is_array_operation(eqn) else hidden_product(eqn)
        if reason is not None:
            yield reason
            continue
        for inner in sub_jaxprs(eqn.params):
            yield from _products(inner)


def _any_inexact(atoms: Sequence[Atom]) -> bool:
    return any(jnp.issubdtype(getattr(aval(atom), "dtype", jnp.int32), jnp.inexact) for atom in atoms)

"""Which primitives are matmuls, which hide one, and which are left as they are.

Everything else stays digital: elementwise operations, reductions, gathers, FFTs, and products of integers (indices,
masks, counts), which are no part of training. A product that a model spells out as a multiplication and a sum is
elementwise too: only what is written as a matmul or a convolution runs on the array.
"""

from __future__ import annotations

import jax.numpy as jnp

from imctrain.intercept._jax_internals import Jaxpr, JaxprEqn, aval, sub_jaxprs

ARRAY_OPERATIONS = frozenset({"dot_general", "conv_general_dilated"})
"""What a site computes."""

HIDDEN_MATMULS = frozenset(
    {
        "dot_product_attention_bwd_wrapper",
        "dot_product_attention_fp8_bwd_wrapper",
        "dot_product_attention_fp8_fwd_wrapper",
        "dot_product_attention_fwd_wrapper",
        "ffi_call",
        "ragged_dot_general",
        "scaled_dot",
        "scaled_matmul_wrapper",
        "symmetric_product",
    }
)
"""Fused or foreign kernels that multiply matrices out of sight."""

LINEAR_ALGEBRA = frozenset(
    {
        "cholesky",
        "cholesky_update",
        "custom_linear_solve",
        "eig",
        "eigh",
        "geqp3",
        "geqrf",
        "hessenberg",
        "householder_product",
        "lu",
        "ormqr",
        "qr",
        "schur",
        "svd",
        "triangular_solve",
        "tridiagonal",
        "tridiagonal_solve",
    }
)
"""Factorisations and solves: no MVM themselves, but their derivative rules multiply matrices out of sight."""


def is_array_operation(eqn: JaxprEqn) -> bool:
    """A matmul or convolution of numbers that are not all integers, and that is not empty."""
    if eqn.primitive.name not in ARRAY_OPERATIONS:
        return False
    operands = [aval(v) for v in eqn.invars[:2]]
    inexact = any(jnp.issubdtype(a.dtype, jnp.inexact) for a in operands)
    return inexact and all(a.size > 0 for a in (*operands, aval(eqn.outvars[0])))


def obstacle(eqn: JaxprEqn) -> str | None:
    """Why an equation that multiplies matrices cannot be a site; None for one that multiplies none.

    Not for array operations, nor for calls, loops and branches, which are looked into.
    """
    name = eqn.primitive.name
    inexact = any(jnp.issubdtype(getattr(aval(v), "dtype", jnp.int32), jnp.inexact) for v in eqn.outvars)
    if inexact and name in HIDDEN_MATMULS:
        return f"{name} multiplies matrices where they cannot be intercepted"
    if inexact and name in LINEAR_ALGEBRA:
        return f"{name} has no array mapping, and its derivative multiplies matrices where they cannot be intercepted"
    if any(map(holds_matmul, sub_jaxprs(eqn.params))):
        return f"a matmul inside {name} cannot be intercepted"
    return None


def holds_matmul(jaxpr: Jaxpr) -> bool:
    """Whether a matmul, open or hidden, is found in a jaxpr or in any jaxpr inside it."""
    return any(is_array_operation(eqn) or obstacle(eqn) is not None for eqn in jaxpr.eqns)

"""int4 and uint4: uniform codes with one scale an operand.

int4 codes are -7..7 (symmetric two's complement: -8 is left out), uint4 codes 0..15. A clip alpha gives the scale
alpha / top code. Values beyond alpha saturate.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

INT4_TOP = 7
UINT4_TOP = 15


def top_code(signed: bool) -> int:
    """The largest code: 7 for int4, 15 for uint4."""
    return INT4_TOP if signed else UINT4_TOP


def quantise(x: Array, clip: Array, *, signed: bool) -> tuple[Array, Array]:
    """Codes (float32 integers, round half to even) and the scale of one code.

    Args:
        x: float32 values; must be >= 0 where `signed` is false (what is negative becomes 0).
        clip: alpha > 0, scalar.
    """
    top = top_code(signed)
    scale = clip / top
    codes = jnp.clip(jnp.round(x / scale), -top if signed else 0, top)
    return codes, scale


def inside_clip(x: Array, clip: Array, *, signed: bool) -> Array:
    """Where the straight-through gradient of `quantise` passes (bool)."""
    return (jnp.abs(x) <= clip) if signed else (x >= 0) & (x <= clip)

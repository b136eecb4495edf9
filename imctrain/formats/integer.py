"""Integer formats: uniform codes of `bits` bits with one scale per operand.

Signed codes are symmetric two's complement, the lowest one left out; unsigned codes begin at 0:

    bits       2        3        4         8
    signed     -1..1    -3..3    -7..7     -127..127
    unsigned   0..3     0..7     0..15     0..255

A clip alpha gives the scale alpha / top. Values beyond alpha saturate. The paper's formats are int4 and uint4.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

Values = Array | np.ndarray
"""Traced values, or constants of a program."""


@dataclass(frozen=True)
class IntegerFormat:
    """Codes of `bits` bits, 2 to 8; signed (weights, and activations of either sign) or not."""

    bits: int
    signed: bool

    @property
    def name(self) -> str:
        """Such as "int4" and "uint4"."""
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    @property
    def top(self) -> int:
        """The largest code."""
        return 2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1

    @property
    def lowest(self) -> int:
        """The smallest code."""
        return -self.top if self.signed else 0

    @property
    def span(self) -> int:
        """Distance from the smallest code to the largest."""
        return self.top - self.lowest

    @property
    def dtype(self) -> type:
        """The smallest dtype that codes are stored in."""
        return jnp.int8 if self.top <= 127 else jnp.int16

    def quantise(self, x: Float[Values, "*shape"], clip: Float[Values, ""]) -> tuple[Float[Array, "*shape"], Array]:
        """Codes (float32 integers, round half to even) and the scale of one code.

        Args:
            x: values; must be >= 0 where codes are unsigned (what is negative becomes 0).
            clip: alpha > 0, scalar.
        """
        scale = jnp.asarray(clip / self.top)
        codes = jnp.clip(jnp.round(x / scale), self.lowest, self.top)
        return codes, scale

    def inside_clip(self, x: Float[Values, "*shape"], clip: Float[Values, ""]) -> Bool[Array, "*shape"]:
        """Where the straight-through gradient of `quantise` passes."""
        return (jnp.abs(x) <= clip) if self.signed else jnp.logical_and(x >= 0, x <= clip)


INT4, UINT4 = IntegerFormat(4, True), IntegerFormat(4, False)

"""fp4_radix4: sign and a 3-bit exponent, no mantissa. Code 0 is zero, the others are +-s*4**k, k = 0..6.

Format of X. Sun et al., NeurIPS 2020, as used for gradients by Grimm and Verma (TCAS-I 2022). Functions here work on
values already divided by the scale s, and return *levels*: 0 or +-4**k as float32, exact.

Nearest rounding, truth table (m = |x|/s):

    m < 0.625              -> 0          (0.625 = 2.5 * 4**-1: the rule of every other level, one step down)
    0.625 <= m < 2.5       -> 1
    2.5*4**(k-1) <= m < 2.5*4**k -> 4**k (2.5*4**k is the arithmetic midpoint of 4**k and 4**(k+1))
    m >= 2.5*4**5          -> 4**6       (saturation)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float


@dataclass(frozen=True)
class Radix4:
    """Signed levels 0 and +-4**k for k below `exponents`."""

    exponents: int = 7
    signed: bool = True

    @property
    def name(self) -> str:
        """As the paper has it."""
        return "fp4_radix4"

    @property
    def bits(self) -> int:
        """Of a code: a sign, and an exponent or zero."""
        return 1 + self.exponents.bit_length()

    @property
    def top_exponent(self) -> int:
        """The largest k."""
        return self.exponents - 1

    @property
    def top(self) -> float:
        """The largest level."""
        return 4.0**self.top_exponent

    @property
    def lowest(self) -> float:
        """The smallest level."""
        return -self.top

    @property
    def magnitudes(self) -> tuple[int, ...]:
        """All levels above 0, rising."""
        return tuple(4**k for k in range(self.exponents))


RADIX4 = Radix4()
TOP_LEVEL = RADIX4.top

Values: TypeAlias = Float[Array, "*shape"]
"""Of one shape within a call."""


def floor_power_of_4(m: Values) -> Values:
    """The largest power of 4 not above m, for 1 <= m < 4**63; exact (reads the float's exponent)."""
    exponent = (jax.lax.bitcast_convert_type(m, jnp.int32) >> 23) - 127
    even = (exponent >> 1) << 1
    return jax.lax.bitcast_convert_type((even + 127) << 23, jnp.float32)


def round_nearest(x: Values) -> Values:
    """Nearest level of each element of x (float32, in units of s); ties go up in magnitude."""
    m = jnp.abs(x) * jnp.float32(1.6)
    level = jnp.minimum(floor_power_of_4(jnp.maximum(m, 1.0)), TOP_LEVEL)
    return jnp.where(m >= 1.0, jnp.copysign(level, x), 0.0)


def round_stochastic(x: Values, uniform: Values) -> Values:
    """One of the two neighbouring levels, with the mean equal to x wherever |x| <= 4**6 (underflow included).

    Args:
        x: float32, in units of s.
        uniform: same shape, uniform in [0, 1).
    """
    m = jnp.minimum(jnp.abs(x), TOP_LEVEL)
    low = floor_power_of_4(jnp.maximum(m, 1.0))
    # Between 4**k and 4**(k+1) the gap is 3*4**k; below 1 it is the gap from 0 to 1.
    up = (m - low) > uniform * (3.0 * low)
    level = jnp.where(m < 1.0, (m > uniform).astype(jnp.float32), jnp.where(up, 4.0 * low, low))
    return jnp.copysign(level, x)


def shifted_draw(uniform: Values, sample: int, samples: int) -> Values:
    """The draw of one of `samples` roundings that are a systematic sample: u + i/n, modulo 1."""
    return uniform if sample == 0 else (uniform + sample / samples) % 1.0


def mean_of_roundings(x: Values, uniform: Values, samples: int) -> Values:
    """The mean of `round_stochastic` over all draws of `shifted_draw`, at the cost of one.

    Sorted, the draws are (i + f)/n with f the fraction of n u, and those below p are the first ceil(n p - f).
    """
    m = jnp.minimum(jnp.abs(x), TOP_LEVEL)
    above = floor_power_of_4(jnp.maximum(m, 1.0))
    low, gap = jnp.where(m < 1.0, 0.0, above), jnp.where(m < 1.0, 1.0, 3.0 * above)
    f = (uniform * samples) % 1.0
    up = jnp.ceil((m - low) * (samples / gap) - f)
    return jnp.copysign(low + gap * jnp.clip(up, 0.0, samples) * (1.0 / samples), x)

"""A multiple of the root mean square, at most the maximum.

alpha = min(max|x|, k * rms) with k from minimising the squared error of the codes on a Gaussian (4 bits: k = 2.6 for
signed codes) and on a rectified Gaussian (k = 3.6 = 2.55 / 0.707); this project's decision. It cuts sparse and peaked
operands.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from imctrain.formats.clips.base import TINY, gaussian_clip
from imctrain.formats.integer import INT4, UINT4, IntegerFormat

FACTORS = {INT4: 2.6, UINT4: 3.6}
"""k of 4-bit codes, as the claims were trained with; other widths have that of least error."""


def factor(fmt: IntegerFormat) -> float:
    """k."""
    return FACTORS.get(fmt) or gaussian_clip(fmt)


def rms_clip(x: Float[Array, ...], fmt: IntegerFormat) -> Float[Array, ""]:
    """alpha = min(max|x|, k * rms), scalar."""
    rms = jnp.sqrt(jnp.mean(jnp.square(x)))
    return jnp.maximum(jnp.minimum(factor(fmt) * rms, jnp.max(jnp.abs(x))), TINY)


class Rms:
    """alpha = min(max|x|, k * rms)."""

    learned = False

    def statistic(self, x: Float[Array, ...], fmt: IntegerFormat) -> Float[Array, ""]:
        """alpha, scalar."""
        return rms_clip(x, fmt)

    def of_gaussian(self, fmt: IntegerFormat) -> float:
        """k."""
        return factor(fmt)


MEMBER = Rms()

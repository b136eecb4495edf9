"""SAWB, statistics-aware weight binning, with the 4-bit coefficients of X. Sun et al., NeurIPS 2020.

    alpha = 12.68 * sqrt(E[w^2]) - 12.80 * E|w|

It fits bell-shaped weights; for others (a constant, a few large values) it can be negative or beyond the largest
weight, so it is clipped to [rms, max|w|]: that range is this project's decision. The coefficients are those of 4 bits,
and settings refuse it for other widths.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from imctrain.formats.clips.base import TINY
from imctrain.formats.integer import IntegerFormat

SAWB_RMS = 12.68
SAWB_MEAN = 12.80


def sawb_clip(w: Float[Array, ...]) -> Float[Array, ""]:
    """alpha of SAWB for 4-bit codes, scalar, within [rms, max|w|]."""
    rms = jnp.sqrt(jnp.mean(jnp.square(w)))
    alpha = SAWB_RMS * rms - SAWB_MEAN * jnp.mean(jnp.abs(w))
    return jnp.maximum(jnp.clip(alpha, rms, jnp.max(jnp.abs(w))), TINY)


class Sawb:
    """alpha from the mean square and the mean magnitude."""

    learned = False

    def statistic(self, x: Float[Array, ...], fmt: IntegerFormat) -> Float[Array, ""]:
        """alpha, scalar."""
        return sawb_clip(x)

    def of_gaussian(self, fmt: IntegerFormat) -> float:
        """12.68 - 12.80 sqrt(2 / pi)."""
        return 2.47


MEMBER = Sawb()

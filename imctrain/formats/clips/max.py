"""The largest magnitude: nothing saturates."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from imctrain.formats.clips.base import TINY
from imctrain.formats.integer import IntegerFormat

LARGEST = 4.0
"""The largest of some ten thousand Gaussian samples, in standard deviations."""


def max_clip(x: Float[Array, ...]) -> Float[Array, ""]:
    """alpha = max|x|, scalar."""
    return jnp.maximum(jnp.max(jnp.abs(x)), TINY)


class Max:
    """alpha = max|x|."""

    learned = False

    def statistic(self, x: Float[Array, ...], fmt: IntegerFormat) -> Float[Array, ""]:
        """alpha, scalar."""
        return max_clip(x)

    def of_gaussian(self, fmt: IntegerFormat) -> float:
        """A rectified Gaussian has half the power of the Gaussian, and the same largest value."""
        return LARGEST * (1.0 if fmt.signed else 2.0**0.5)


MEMBER = Max()

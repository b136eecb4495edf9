"""How the scale of a radix-4 gradient is chosen.

s = max|g| / 4**6, so that the largest magnitude reaches the top exponent (GradScale). Where an array's noise is added
after encoding, that is far from best: gradients have heavy tails, the few largest set the scale, and all others drown.
`gradient_top` lets the top level stand for k * rms instead and saturates what is above (this project's decision;
docs/reproduction.md has the measurements).
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from imctrain.formats.clips.base import TINY
from imctrain.formats.radix4 import RADIX4


def gradient_top(g: Float[Array | np.ndarray, "*shape"], clip: float | None) -> Float[Array, ""]:
    """The magnitude that is to reach the top level: max|g|, or at most `clip` times the root mean square. Scalar."""
    largest = jnp.max(jnp.abs(g))
    if clip is None:
        return largest
    return jnp.minimum(largest, clip * jnp.sqrt(jnp.mean(jnp.square(g))))


def gradient_scale(largest: Float[Array | np.ndarray, ""]) -> Float[Array, ""]:
    """s such that `largest` (see `gradient_top`) reaches the top level 4**6."""
    return jnp.maximum(largest, TINY) / RADIX4.top

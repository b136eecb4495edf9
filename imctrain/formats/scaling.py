"""How an operand's clip or scale is chosen from its statistics.

SAWB (statistics-aware weight binning, 4-bit coefficients of X. Sun et al., NeurIPS 2020):

    alpha = 12.68 * sqrt(E[w^2]) - 12.80 * E|w|

It fits bell-shaped weights; for others (a constant, a few large values) it can be negative or beyond the largest
weight, so it is clipped to [rms, max|w|]: that range is this project's decision.

Activations: alpha = min(max|x|, k * rms) with k from minimising the squared error of 4-bit codes on a Gaussian
(k = 2.6 for signed codes) and on a rectified Gaussian (k = 3.6 = 2.55 / 0.707); this project's decision.

Gradients: s = max|g| / 4**6, so that the largest magnitude reaches the top exponent (GradScale). Where an array's noise
is added after encoding, that is far from best: gradients have heavy tails, the few largest set the scale, and all
others drown. `gradient_top` lets the top level stand for k * rms instead and saturates what is above (this project's
decision; docs/reproduction.md has the measurements).
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from imctrain.formats.radix4 import TOP_LEVEL

SAWB_RMS = 12.68
SAWB_MEAN = 12.80
CLIP_RMS_SIGNED = 2.6
CLIP_RMS_UNSIGNED = 3.6
TINY = 1e-30
"""Keeps the scale of an all-zero operand finite; its codes are all zero whatever the scale."""


def sawb_clip(w: Array) -> Array:
    """alpha of SAWB for 4-bit codes, scalar, within [rms, max|w|]."""
    rms = jnp.sqrt(jnp.mean(jnp.square(w)))
    alpha = SAWB_RMS * rms - SAWB_MEAN * jnp.mean(jnp.abs(w))
    return jnp.maximum(jnp.clip(alpha, rms, jnp.max(jnp.abs(w))), TINY)


def max_clip(x: Array) -> Array:
    """alpha = max|x|, scalar."""
    return jnp.maximum(jnp.max(jnp.abs(x)), TINY)


def rms_clip(x: Array, *, signed: bool) -> Array:
    """alpha = min(max|x|, k * rms), scalar."""
    factor = CLIP_RMS_SIGNED if signed else CLIP_RMS_UNSIGNED
    rms = jnp.sqrt(jnp.mean(jnp.square(x)))
    return jnp.maximum(jnp.minimum(factor * rms, jnp.max(jnp.abs(x))), TINY)


def gradient_top(g: Array, clip: float | None) -> Array:
    """The magnitude that is to reach the top level: max|g|, or at most `clip` times the root mean square. Scalar."""
    largest = jnp.max(jnp.abs(g))
    if clip is None:
        return largest
    return jnp.minimum(largest, clip * jnp.sqrt(jnp.mean(jnp.square(g))))


def gradient_scale(largest: Array) -> Array:
    """s such that `largest` (see `gradient_top`) reaches the top level 4**6."""
    return jnp.maximum(largest, TINY) / TOP_LEVEL

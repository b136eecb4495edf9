"""Counter-based random numbers for conversions and rounding.

A conversion costs one Gaussian sample, so a cipher-strength generator would cost more than the matrix multiplies.
Here sample i of a stream is a 32-bit hash of i keyed by the stream's 64-bit seed (two rounds of the lowbias32
finaliser by C. Wellons, the second half of the seed mixed in between), turned into a Gaussian by inverting the normal
distribution. Streams differ by seed: every site, MVM, step and purpose derives its own (`derive`).

Tails: 23-bit uniforms give samples up to +-5.3 sigma.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array


def seed_of(key: Array) -> Array:
    """The 64-bit seed (uint32[2]) of a JAX key."""
    data = jax.random.key_data(key)
    return jnp.stack([data[..., 0], data[..., -1]], axis=-1)


def _mix(x: Array) -> Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def derive(seed: Array, *purpose: int | Array) -> Array:
    """A seed of its own for each purpose (integers, static or traced)."""
    low, high = seed[0], seed[1]
    for part in purpose:
        part = jnp.asarray(part).astype(jnp.uint32) * jnp.uint32(0x9E3779B9) + jnp.uint32(0x85EBCA6B)
        low, high = _mix(low ^ part), _mix(high + _mix(part ^ low))
    return jnp.stack([low, high])


def bits(seed: Array, shape: tuple[int, ...]) -> Array:
    """Random uint32 words of the given shape."""
    counter = jax.lax.iota(jnp.uint32, max(math.prod(shape), 1)).reshape(shape) if shape else jnp.uint32(0)
    return _mix(_mix(counter * jnp.uint32(0x9E3779B9) + seed[0]) ^ seed[1])


def uniform(seed: Array, shape: tuple[int, ...]) -> Array:
    """Uniform float32 in [0, 1) on a grid of 2**-24."""
    return (bits(seed, shape) >> 8).astype(jnp.float32) * jnp.float32(2.0**-24)


def gaussian(seed: Array, shape: tuple[int, ...]) -> Array:
    """Standard normal float32 samples."""
    # 23 bits and a half: every value is exact in float32 and none rounds to +-1, whose normal quantile is infinite.
    centred = ((bits(seed, shape) >> 9).astype(jnp.float32) + 0.5) * jnp.float32(2.0**-22) - 1.0
    return jnp.float32(math.sqrt(2.0)) * jax.lax.erf_inv(centred)

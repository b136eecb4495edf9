"""Counter-based random numbers for conversions and rounding.

A conversion costs one Gaussian sample, so a cipher-strength generator, or the inverse of the normal distribution, would
cost more than the matrix multiplies. Sample i of a stream is made from one 32-bit hash of i, keyed by the stream's
64-bit seed (Weyl sequence, then the lowbias32 finaliser by C. Wellons with the second half of the seed mixed in):

    w   = hash(i)                                     uniform, 32 bits
    t   = popcount(w) + u1 + u2                       binomial of 32 fair bits, smeared by a triangle of two 8-bit
                                                      uniforms taken from the high half of w * odd constant
    eps = z (A + C z^2),   z = (t - mean) / std       the cubic restores unit variance and a kurtosis of 3

Distribution (computed from the definition, tests/imc/test_noise.py): the CDF is within 1.7e-4 of the normal one, tails
hold 0.94 of the normal probability beyond 4 sigma and 0.9 beyond 4.5; samples reach 6.4 sigma. Streams differ by seed:
every site, MVM, step and purpose derives its own (`derive`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_batching import custom_vmap
from jaxtyping import Float, UInt32

WEYL = 0x9E3779B1
"""2**32 over the golden ratio, odd: steps of it visit every word once, far from one another."""

Seed: TypeAlias = UInt32[Array, " 2"]
"""Of a stream, 64 bits."""


def seed_of(key: Array) -> UInt32[Array, "*batch 2"]:
    """The seed of a JAX key, or of each of them."""
    data = jax.random.key_data(key)
    return jnp.stack([data[..., 0], data[..., -1]], axis=-1)


def _mix(x: Array) -> Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def derive(seed: Seed, *purpose: int | Array) -> Seed:
    """A seed of its own for each purpose (integers, static or traced)."""
    low, high = seed[0], seed[1]
    for part in purpose:
        part = jnp.asarray(part).astype(jnp.uint32) * jnp.uint32(WEYL) + jnp.uint32(0x85EBCA6B)
        low, high = _mix(low ^ part), _mix(high + _mix(part ^ low))
    return jnp.stack([low, high])


@custom_vmap
def per_element(seed: Array, operand: Array) -> Array:
    """The seed, or, where `jax.vmap` maps the operand but not the seed, a seed for each element of the batch."""
    del operand
    return seed


@per_element.def_vmap
def _seed_elements(axis_size: int, in_batched: Sequence[bool], seed: Array, operand: Array) -> tuple[Array, bool]:
    seed_batched, operand_batched = in_batched
    if seed_batched or not operand_batched:
        return per_element(seed, operand), seed_batched
    elements = jnp.arange(axis_size, dtype=jnp.uint32)
    return jax.vmap(lambda element: derive(seed, element))(elements), True


def bits(seed: Seed, shape: tuple[int, ...]) -> UInt32[Array, ...]:
    """Random uint32 words of the given shape."""
    counter = jax.lax.iota(jnp.uint32, max(math.prod(shape), 1)).reshape(shape) if shape else jnp.uint32(0)
    x = counter * jnp.uint32(WEYL) + seed[0]
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15) ^ seed[1]) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def uniform(seed: Seed, shape: tuple[int, ...]) -> Float[Array, ...]:
    """Uniform float32 in [0, 1) on a grid of 2**-24."""
    return (bits(seed, shape) >> 8).astype(jnp.float32) * jnp.float32(2.0**-24)


def gaussian(seed: Seed, shape: tuple[int, ...]) -> Float[Array, ...]:
    """Standard normal float32 samples (see the module for how normal)."""
    word = bits(seed, shape)
    other = word * jnp.uint32(WEYL)
    smear = (other >> 24) + ((other >> 16) & 255)
    total = (jax.lax.population_count(word) << 8) + smear
    centred = total.astype(jnp.int32).astype(jnp.float32) - jnp.float32(MEAN)
    return centred * (jnp.float32(LINEAR) + jnp.float32(CUBIC) * jnp.square(centred))


# t in units of 1/256; A and C solve variance = 1 and kurtosis = 3.
MEAN = 16 * 256 + 255
_STD = math.sqrt(8 * 256**2 + (256**2 - 1) / 6)
LINEAR = 0.992064243981342 / _STD
CUBIC = 0.0026926988110874414 / _STD**3

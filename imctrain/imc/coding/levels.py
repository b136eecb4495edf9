"""Levels of what is driven: radix-4 levels of gradients, by the configured rounding, or integer codes as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax.numpy as jnp
from jax import Array

from imctrain.families import member
from imctrain.formats import gradient_scale, gradient_top
from imctrain.settings import FormatSpec


class Levels(NamedTuple):
    """What an MVM drives.

    Attributes:
        mean: over all samples; with one sample, the levels themselves.
        samples: encodings that are averaged.
        sample: i -> levels of the i-th; made where they are used, since few engines need all.
        scale: of level 1.
    """

    mean: Array
    samples: int
    sample: Callable[[int], Array]
    scale: Array


class Rounding(Protocol):
    """A member of `roundings`.

    Attributes:
        encodes_twice: the two gradient MVMs have encodings of their own (`odd` for weight_grad).
        unbiased: the mean over draws is the gradient.
    """

    encodes_twice: bool
    unbiased: bool

    def encode(self, g: Array, scale: Array, seed: Array, *, odd: bool, samples: int) -> Levels:
        """Radix-4 levels of g at scale s."""
        ...


def fixed_levels(levels: Array, scale: Array, samples: int = 1) -> Levels:
    """Levels that are the same in every sample."""
    return Levels(levels, samples, lambda i: levels, scale)


def rounding(formats: FormatSpec) -> Rounding:
    """The rounding of `formats.gradient_rounding`."""
    way: Rounding = member("imctrain.imc.coding.roundings", formats.gradient_rounding)
    return way


def scale_of_gradient(g: Array, formats: FormatSpec, carried: Array) -> tuple[Array, Array]:
    """(s, top magnitude): s from this step, or the carried one once it is above 0."""
    largest = gradient_top(g, formats.gradient_clip)
    now = gradient_scale(largest)
    return (jnp.where(carried > 0, carried, now) if formats.gradient_scale == "carried" else now), largest


def encode_gradient(g: Array, scale: Array, formats: FormatSpec, seed: Array, *, odd: bool, samples: int = 1) -> Levels:
    """Radix-4 levels of g.

    Args:
        scale: s. seed: for stochastic rounding.
        odd: the second of two encodings (for weight_grad), where the rounding has two.
        samples: encodings that are to be averaged.
    """
    way = rounding(formats)
    if "gradients" in formats.quantise:
        return way.encode(g, scale, seed, odd=odd, samples=samples)
    # A gradient that stays float keeps the scale of its grid, so that runs differ in the rounding alone.
    if formats.gradient_rounding == "two_phase" and odd:
        scale = 2.0 * scale
    return fixed_levels(g / scale, scale, samples)

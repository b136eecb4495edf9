"""Chopping: signed input vectors are driven with a random sign each, and their results turned back digitally.

A converter's offset is the same at every step. Where it meets gradients, which are small and summed over thousands of
steps, it acts as a constant force on the weights, however small it is. The DAC is signed, so a vector can as well be
driven as -x and its result negated: the product is the same, while an offset o becomes s * o with a random sign s, a
noise whose mean is zero. It costs no conversion. (This project's decision; chopping is common practice in converters.)

One sign a driven vector: a row of a matmul, an output channel of a kernel gradient; an image of a convolution, whose
vectors share pixels. Unsigned inputs (uint4 activations) cannot be turned and are driven as they are.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.chip.random_numbers import Seed
from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.products import Driven, Kernels, Ranges, Reading, Stored

_SIGNS = 0x43484F50
"""Purpose of the signs' seed, apart from those that kernels derive (which count from 0)."""


class Chopped:
    """Kernels whose vectors are driven with random signs; interface as in `products.Kernels`."""

    def __init__(self, kernels: Kernels):
        self._kernels = kernels

    def matmul(self, x: Driven, w: Stored, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
        sign = _signs(seed, (*x.shape[:2], 1))
        reading = self._kernels.matmul(x * sign, w, plan, ranges, seed)
        return reading._replace(product=reading.product * sign)

    def convolve(
        self, x: Array, w: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed
    ) -> Reading:
        sign = _signs(seed, (geometry.batch, *[1] * (x.ndim - 1)))
        reading = self._kernels.convolve(x * sign, w, geometry, plan, ranges, seed)
        return reading._replace(product=reading.product * sign)

    def kernel_gradient(
        self, g: Array, x: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed
    ) -> Reading:
        sign = _signs(seed, (geometry.outputs,))
        reading = self._kernels.kernel_gradient(g * sign, x, geometry, plan, ranges, seed)
        return reading._replace(product=reading.product * sign)


def _signs(seed: Array, shape: tuple[int, ...]) -> Array:
    """-1.0 or 1.0, equally likely."""
    top = noise.bits(noise.derive(seed, _SIGNS), shape) >> 31
    return 1.0 - 2.0 * top.astype(jnp.float32)

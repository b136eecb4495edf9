"""The digital path: the same number formats, integer products computed digitally. No array, never analog.

It has the interface of `exact`, so that a site switches path without knowing how products are made.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from imctrain.imc.chip.random_numbers import Seed
from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.products import Driven, Ranges, Reading, Stored


def _reading(product: Array, plan: MvmPlan) -> Reading:
    nothing = jnp.zeros(plan.passes, jnp.float32)
    return Reading(product, nothing, nothing, nothing)


def matmul(x: Driven, w: Stored, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """[G, M, K] x [G, N, K] -> [G, M, N] of integer codes or levels; `ranges` and `seed` are unused."""
    return _reading(jnp.einsum("gmk,gnk->gmn", x, w, preferred_element_type=jnp.float32), plan)


def convolve(x: Array, w: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """A convolution of integer codes or levels in canonical layout."""
    return _reading(geometry.convolve(x, w), plan)


def kernel_gradient(g: Array, x: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """dw [*k, C/G, G*N] of the convolution x -> g."""
    return _reading(geometry.kernel_gradient(x, g), plan)

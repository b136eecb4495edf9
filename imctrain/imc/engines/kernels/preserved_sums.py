"""What rounding and saturation take from the sums of a gradient, given back to the weight gradient digitally.

A weight gradient contracts thousands of positions: dW = sum_k g_k x_k. Let q be the codes of g and r = g - q. What the
codes lose, sum_k r_k x_k, is mostly sum_k r_k times the mean of x, since activations after a ReLU are not centred:
saturation, which is one-sided where a gradient's tails are, becomes a constant force along the mean input, and so does,
step by step, the rounding of the sum. Batch norm makes the true sum of g zero and the loss blind to that direction:
nothing pushes back, the weights drift along it, and their codes are spent on what the next batch norm removes. So

    dW = sum_k q_k x_k + mean(r) sum_k x_k

where the array computes the first product and the second is digital: a sum of each channel's gradient, a sum of each
stored column's codes, and one multiply-add a weight. This project's decision (`formats.preserve_sums`).

Functions have the interface of an engine (`contraction`), take r in place of the gradient and return the second term.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jax import Array

from imctrain.imc.chip.random_numbers import Seed
from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.products import Driven, Ranges, Reading, Stored


def _reading(product: Array) -> Reading:
    nothing = jnp.zeros(1, jnp.float32)
    return Reading(product, nothing, nothing, nothing)


def matmul(x: Driven, w: Stored, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """mean_k r [G, M, K] times sum_k of the stored codes [G, N, K] -> [G, M, N]."""
    del plan, ranges, seed
    return _reading(jnp.mean(x, axis=-1)[:, :, None] * jnp.sum(w, axis=-1, dtype=jnp.float32)[:, None, :])


def convolve(x: Array, w: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """Contracts a kernel, not positions: nothing to give back."""
    del w, plan, ranges, seed
    return _reading(jnp.zeros((x.shape[0], *geometry.output, geometry.outputs), jnp.float32))


def kernel_gradient(g: Array, x: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """mean over positions of r [B, *O, G*N] times what each kernel position saw of x [B, *S, C] -> [*k, C/G, G*N]."""
    del plan, ranges, seed
    means = jnp.mean(g, axis=tuple(range(g.ndim - 1)))
    # The gradient of one output a group whose gradient is 1 everywhere; images are summed up first.
    one = dataclasses.replace(geometry, batch=1, outputs=geometry.groups)
    ones = jnp.ones((1, *geometry.output, geometry.groups), jnp.float32)
    seen = one.kernel_gradient(jnp.sum(x, axis=0, keepdims=True, dtype=jnp.float32), ones)
    return _reading(jnp.repeat(seen, geometry.group_outputs, axis=-1) * means)

"""What is added digitally when operands are driven or stored around their middle.

Codes 0..15 use half of a bipolar swing. Driven as x - o_x and stored as w - o_w they use all of it, and

    sum_k x w = sum_k (x - o_x) (w - o_w) + o_x sum_k w + o_w sum_k x - o_x o_w K

where the array computes the first sum and the others are digital: the sum of a column's weights, known once they are
written, and the sum of a vector's codes, an adder a row for all columns together. Noise of a conversion then weighs
half as much (`mapping.full_drive` for o_x, XNOR cells for o_w). This project's decision.

In a convolution, the zeros around an image are gated rows: they count in none of the sums.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jax import Array

from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.imc.mvm.plan import MvmPlan


def matmul_correction(x: Array, w: Array, plan: MvmPlan) -> Array | float:
    """The digital terms of x [G, M, K] times w [G, N, K], broadcastable to [G, M, N]; 0.0 where nothing is centred."""
    driven, stored = plan.mapping.centre, plan.coding.centre
    total: Array | float = 0.0
    if driven:
        total = total + driven * (jnp.sum(w, axis=-1, dtype=jnp.float32) - stored * x.shape[-1])[:, None, :]
    if stored:
        total = total + stored * jnp.sum(x, axis=-1, dtype=jnp.float32)[:, :, None]
    return total


def convolution_correction(x: Array, w: Array, geometry: ConvGeometry, plan: MvmPlan) -> Array | float:
    """The digital terms of a convolution, broadcastable to its output [B, *O, G*N]."""
    driven, stored = plan.mapping.centre, plan.coding.centre
    total: Array | float = 0.0
    if driven:
        # The same for every image, but not at its border.
        one = dataclasses.replace(geometry, batch=1)
        inside = jnp.ones((1, *geometry.image, geometry.channels), jnp.float32)
        total = total + driven * one.convolve(inside, w.astype(jnp.float32) - stored)
    if stored:
        total = total + stored * geometry.convolve(x, jnp.ones_like(w, jnp.float32))
    return total

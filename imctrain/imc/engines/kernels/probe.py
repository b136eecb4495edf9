"""The probe: exact conversions of a small share of an MVM, which tell how much clips and what the column voltages are.

The statistical path simulates no conversion, but whether it holds depends on how many would clip, and range policies
need the voltages. A probe converts some vectors of the first tile, from all over a matmul or over the first image of a
convolution. It runs before the path is chosen, in the same call: no call takes the statistical path on trust.

Engine interface as in `exact`; a reading's product means nothing (it is zero, and the compiler drops it).
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.chip.random_numbers import Seed
from imctrain.imc.engines.kernels import exact
from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.products import Driven, Ranges, Reading, Stored
from imctrain.imc.mvm.tiling import RowTiles

PROBE_CONVERSIONS, PROBE_OUTPUTS = 2**14, 64
"""Conversions that a probe simulates exactly, at most (5,461 of each of three passes, in which the limit of 0.2 % is 11
clipped ones), of at most so many of the stored operand's columns."""

_PROBE = 1
"""Purpose of the probe's seed, apart from those of the engines (0)."""


def matmul(x: Driven, w: Stored, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """Of [G, M, K] x [G, N, K], see `exact.matmul`."""
    size = min(plan.tiles.size, x.shape[-1])
    outputs = _spread(PROBE_OUTPUTS, plan.outputs)
    seen = _probe(x[..., :size], w[:, outputs, :size], np.arange(plan.outputs)[outputs], plan, ranges, seed)
    return seen._replace(product=jnp.zeros((*x.shape[:2], w.shape[1]), jnp.float32))


def convolve(x: Array, w: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """Of a convolution's first image; its first tile is all kernel positions of the first channels."""
    channels = min(plan.tiles.size, geometry.group_channels)
    image = dataclasses.replace(geometry, batch=1, channels=channels * geometry.groups)
    pixels = x[:1].reshape(1, *geometry.image, geometry.groups, geometry.group_channels)[..., :channels]
    # Zeros around an image are gated rows, which the mapping tells from a code 0 where it drives around a centre.
    centre = plan.mapping.centre
    vectors = image.patches(pixels.reshape(1, *geometry.image, -1).astype(jnp.float32) - centre) + centre  # [G, k*C, O]
    outputs = _spread(PROBE_OUTPUTS, geometry.group_outputs)
    kernel = w.reshape(geometry.taps, geometry.group_channels, geometry.groups, geometry.group_outputs)
    kernel = kernel[:, :channels, :, outputs]
    stored = kernel.transpose(2, 3, 0, 1).reshape(geometry.groups, kernel.shape[-1], -1)
    columns = np.arange(geometry.group_outputs)[outputs]
    seen = _probe(jnp.swapaxes(vectors, 1, 2), stored, columns, plan, ranges, seed)
    return seen._replace(product=jnp.zeros((x.shape[0], *geometry.output, geometry.outputs), jnp.float32))


def kernel_gradient(g: Array, x: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """Of one row tile: as many whole images as hold the positions of a tile, and all taps of some channels."""
    positions = plan.contraction // geometry.batch
    images = min(-(-plan.tiles.size // positions), geometry.batch)
    size = min(plan.tiles.size, images * positions)
    channels = np.arange(geometry.group_channels)[_spread(PROBE_OUTPUTS // geometry.taps, geometry.group_channels)]
    few = dataclasses.replace(geometry, batch=images, channels=geometry.groups * len(channels))
    driven = jnp.moveaxis(g[:images].reshape(-1, geometry.groups, geometry.group_outputs), 0, -1)
    pixels = x[:images].reshape(*x[:images].shape[:-1], geometry.groups, geometry.group_channels)
    pixels = pixels[..., _spread(len(channels), geometry.group_channels)].astype(plan.coding.format.dtype)
    stored = few.patches(pixels.reshape(images, *geometry.image, -1))
    outputs = (np.arange(geometry.taps)[:, None] * geometry.group_channels + channels).reshape(-1)
    seen = _probe(driven[..., :size], stored[..., :size], outputs, plan, ranges, seed)
    shape = (*geometry.kernel, geometry.group_channels, geometry.outputs)
    return seen._replace(product=jnp.zeros(shape, jnp.float32))


def _probe(x: Array, w: Array, outputs: np.ndarray, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """Exact conversions of one tile for a part of its vectors; only clipping and voltages of the reading mean anything.

    Args:
        x: [G, M, K], from which vectors are taken. w: [G, n, K], columns of the stored operand that are probed.
        outputs: which of the plan's they are, [n]: they keep the fixed pattern of their physical columns.
    """
    size = x.shape[-1]
    vectors = max(1, PROBE_CONVERSIONS // (plan.passes * plan.planes * len(outputs)))
    driven = x[:, _spread(vectors, x.shape[1])]
    groups = 1 if plan.shared_columns else plan.groups
    shape = (-1, groups, plan.planes, plan.outputs)
    errors = jax.tree.map(lambda e: e.reshape(shape)[:1, ..., outputs].reshape(1, -1), plan.pattern())
    part = dataclasses.replace(
        plan,
        groups=groups,
        vectors=driven.shape[1],
        contraction=size,
        outputs=len(outputs),
        tiles=RowTiles(size, 1, size),
    )
    return exact.matmul_on(driven[:groups], w[:groups], part, ranges, noise.derive(seed, _PROBE), errors)


def _spread(count: int, size: int) -> slice:
    """`count` of `size` places (all where there are fewer; at least one) at even distances.

    Neighbours are much alike, in an image above all, and the first ones may be a border.
    """
    count = min(max(count, 1), size)
    step = size // count
    first = (size - step * (count - 1)) // 2
    return slice(first, first + step * (count - 1) + 1, step)

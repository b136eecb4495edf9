"""Noise that conversions share: what a column keeps through an MVM and its repeats, and what columns of a pass share.

    slow      a draw for each tile, vector and column: the same in all passes and in all repeats
    common    a draw for each tile, pass and vector: the same in all columns, another in each repeat

Passes of one vector follow each other more closely than its repeats do; so what repeats do not average, passes do not
either. Both are voltages before the range, scaled by the column's noise relative to the chip's. This project's
decisions; what a calibration measures of them is the covariance of a column's repeats and that of columns in a pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.chip.random_numbers import Seed
from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.products import Driven, Kernels, Ranges, Reading, Stored

_SLOW, _COMMON = 0x534C4F57, 0x434F4D4D
"""Purposes of seeds, apart from those that kernels derive (which count from 0)."""


class Streams(NamedTuple):
    """Seeds of an execution: of what each conversion draws anew, and of slow noise (None without)."""

    own: Seed
    slow: Seed | None

    @staticmethod
    def of(plan: MvmPlan, seed: Seed) -> Streams:
        """Slow noise has the plan's seed where repeats share one."""
        if plan.converter.sigma_slow is None:
            return Streams(seed, None)
        return Streams(seed, noise.derive(seed, _SLOW) if plan.slow_seed is None else plan.slow_seed)

    def at(self, *part: int | Array) -> Streams:
        """Those of a part of the execution."""
        return Streams(noise.derive(self.own, *part), None if self.slow is None else noise.derive(self.slow, *part))


class SharedSlowNoise:
    """Kernels with one seed of the slow noise, whatever that of a repeat is; interface as in `products.Kernels`."""

    def __init__(self, kernels: Kernels, seed: Seed):
        self._kernels, self._seed = kernels, seed

    def matmul(self, x: Driven, w: Stored, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
        return self._kernels.matmul(x, w, self._shared(plan), ranges, seed)

    def convolve(
        self, x: Array, w: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed
    ) -> Reading:
        return self._kernels.convolve(x, w, geometry, self._shared(plan), ranges, seed)

    def kernel_gradient(
        self, g: Array, x: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed
    ) -> Reading:
        return self._kernels.kernel_gradient(g, x, geometry, self._shared(plan), ranges, seed)

    def _shared(self, plan: MvmPlan) -> MvmPlan:
        return dataclasses.replace(plan, slow_seed=self._seed)


def of_conversions(
    shape: tuple[int, ...], pass_axis: int, plan: MvmPlan, streams: Streams, relative: Array | None
) -> Array | None:
    """What conversions [..., J, N] share, a fraction of full scale, broadcastable to `shape`; None without.

    Args:
        pass_axis: axis that counts passes. relative: noise of the columns over the chip's, broadcastable to `shape`.
    """
    conv = plan.converter
    total: Array | None = None
    if conv.sigma_slow is not None and streams.slow is not None:
        held = tuple(1 if axis == pass_axis else size for axis, size in enumerate(shape))
        total = conv.sigma_slow * noise.gaussian(streams.slow, held)
    if conv.sigma_common is not None:
        common = conv.sigma_common * noise.gaussian(noise.derive(streams.own, _COMMON), (*shape[:-2], 1, 1))
        total = common if total is None else total + common
    return total if total is None or relative is None else total * relative


def of_outputs(
    vectors: tuple[int, ...], plan: MvmPlan, streams: Streams, place: Callable[[Array], Array]
) -> Array | float:
    """What the conversions of outputs share, summed up, in units of the integer product, broadcastable to
    [*vectors, N].

    Args:
        vectors: shape of what has draws of its own. place: brings [G or 1, N or 1] to where it broadcasts to outputs.
    """
    total: Array | float = 0.0
    powers, weights = plan.slow_powers(), plan.common_weights()
    if powers is not None and streams.slow is not None:
        total = jnp.sqrt(place(powers)) * noise.gaussian(streams.slow, (*vectors, plan.outputs))
    if weights is not None:
        # All tiles weigh alike in all outputs: their sum is one draw.
        alike = weights.shape[1:] == (1, 1)
        rows = jnp.sqrt(jnp.sum(jnp.square(weights), axis=0, keepdims=True)) if alike else weights
        passes = float(np.sqrt(np.sum(np.square(plan.mapping.coefficients))))
        drawn = noise.gaussian(noise.derive(streams.own, _COMMON), (len(rows), *vectors, 1))
        total = total + passes * sum(place(row) * one for row, one in zip(rows, drawn, strict=True))
    return total

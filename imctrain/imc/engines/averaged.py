"""A gradient MVM done several times, each on another rounding of the gradient and with other noise, for the mean.

On the exact path it is repeated. Where products are linear and noise is Gaussian, which is what the statistical path is
about, the mean over n samples is one product of the mean levels with 1/n of the noise power: the same distribution at
the cost of one. A fixed pattern is left to repetition, since chopping turns it anew in every sample.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.coding.encode import Levels
from imctrain.imc.engines.kernels import digital, statistical
from imctrain.imc.engines.kernels.exact import Reading
from imctrain.imc.mvm.contraction import Engine
from imctrain.imc.mvm.plan import MvmPlan

_SAMPLE, _MEAN = 0x53414D50, 0x4D45414E
"""Purposes of seeds, apart from those that engines derive (which count from 0)."""


def mean_reading(
    run: Callable[[Engine, Array, Array], Reading],
    engine: Engine,
    path: str,
    plan: MvmPlan,
    levels: Levels,
    ranges: Array,
    seed: Array,
) -> Reading:
    """The mean of `run(engine, levels, seed)` over samples.

    Args:
        run: one gradient MVM. engine: that of `path`, or one around it. levels: of the gradient.
        ranges: R of each pass, [P]. seed: of the MVM; the first sample uses it as it is.
    """
    count = levels.samples
    if count == 1:
        return run(engine, levels.mean, seed)
    if path == "probe":
        # Clipping and voltages are those of one sample.
        return run(engine, levels.sample(0), seed)
    if path == "exact" or not statistical.is_ideal(plan):
        seeds = [seed, *(noise.derive(seed, _SAMPLE, i) for i in range(1, count))]
        readings = [run(engine, levels.sample(i), s) for i, s in enumerate(seeds)]
        return jax.tree.map(lambda *parts: sum(parts) / count, *readings)
    product = run(digital, levels.mean, seed).product
    if path == "statistical":
        sigma = jnp.sqrt(plan.output_noise_power(ranges) / count)
        product = product + sigma * noise.gaussian(noise.derive(seed, _MEAN), product.shape)
    nothing = jnp.zeros(plan.passes, jnp.float32)
    return Reading(product, nothing, nothing, nothing)

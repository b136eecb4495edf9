"""Readings of an MVM that may be done several times, each on another rounding and with other noise, for the mean.

On the exact path it is repeated. Where products are linear and noise is Gaussian, which is what the statistical path is
about, the mean over n samples is one product of the mean levels with 1/n of the noise power: the same distribution at
the cost of one. A fixed pattern is left to repetition, since chopping turns it anew in every sample, and so is noise
that conversions share: what a column keeps through an MVM is drawn once for all of its samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp

from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.engines.base import Execution
from imctrain.imc.engines.kernels import digital, exact, statistical
from imctrain.imc.engines.kernels.chopped import Chopped
from imctrain.imc.engines.kernels.shared_noise import SharedSlowNoise
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.products import Kernels, Reading

_SAMPLE, _MEAN, _SLOW = 0x53414D50, 0x4D45414E, 0x534C4F57
"""Purposes of seeds, apart from those that kernels derive (which count from 0)."""


class Reader(Protocol):
    """A way to one reading of an execution."""

    def read(self, execution: Execution) -> Reading:
        """The reading, its product averaged over samples."""
        ...


@dataclass(frozen=True)
class Repeated:
    """All samples, one after the other."""

    kernels: Kernels

    def read(self, execution: Execution) -> Reading:
        """The first sample uses the execution's seed as it is."""
        levels, seed = execution.levels, execution.seed
        if levels.samples == 1:
            return execution.run(self.kernels, levels.mean, seed)
        seeds = [seed, *(noise.derive(seed, _SAMPLE, i) for i in range(1, levels.samples))]
        kernels: Kernels = self.kernels
        if execution.plan.converter.sigma_slow is not None:
            kernels = SharedSlowNoise(kernels, noise.derive(seed, _SLOW))
        readings = [execution.run(kernels, levels.sample(i), s) for i, s in enumerate(seeds)]
        return jax.tree.map(lambda *parts: sum(parts) / levels.samples, *readings)


@dataclass(frozen=True)
class FirstSample:
    """One sample: its clipping and voltages are those of all."""

    kernels: Kernels

    def read(self, execution: Execution) -> Reading:
        """Of the first sample."""
        return execution.run(self.kernels, execution.levels.sample(0), execution.seed)


@dataclass(frozen=True)
class OfTheMean:
    """One product of the mean levels, with the noise of the mean where it is `noisy`."""

    noisy: bool

    def read(self, execution: Execution) -> Reading:
        """Clipping and voltages are not told (zero)."""
        plan, levels = execution.plan, execution.levels
        product = execution.run(digital, levels.mean, execution.seed).product
        if self.noisy:
            sigma = jnp.sqrt(plan.output_noise_power(execution.ranges) / levels.samples)
            product = product + sigma * noise.gaussian(noise.derive(execution.seed, _MEAN), product.shape)
        nothing = jnp.zeros(plan.passes, jnp.float32)
        return Reading(product, nothing, nothing, nothing)


def chopped(kernels: Kernels, plan: MvmPlan) -> Kernels:
    """The kernels, with random signs where the plan chops (`array.chop`)."""
    return Chopped(kernels) if plan.chopped else kernels


def exact_reader(plan: MvmPlan) -> Reader:
    """Every sample converted."""
    return Repeated(chopped(exact, plan))


def statistical_reader(plan: MvmPlan) -> Reader:
    """One draw an output, of the mean where the plan has no fixed pattern and no noise that conversions share."""
    if plan.samples > 1 and statistical.is_ideal(plan):
        return OfTheMean(noisy=True)
    return Repeated(chopped(statistical, plan))

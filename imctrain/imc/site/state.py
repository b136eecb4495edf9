"""What a site carries from step to step, and what one step tells of it.

A state goes in with each execution, and its cotangent comes out of the backward pass: the same structure, whose
telemetry is additive (divide by the calls), so that it is right through scan, cond and vmap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from imctrain.imc.chip.figures import Chip
from imctrain.imc.engines.base import Ran
from imctrain.imc.mvm.plan import MvmPlan

# JAX builds trees of placeholders too (flags, shapes, specifications): at run time a leaf may be anything.
if TYPE_CHECKING:
    Leaf = Array
else:
    Leaf = object


CODES = ("driven", "swing", "cells_on")
"""What reports call the codes of an MVM (`codes_used`)."""


def counts_codes(plan: MvmPlan) -> bool:
    """Whether telemetry holds an MVM's codes."""
    return plan.hardware.count_codes and not plan.is_digital


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MvmTelemetry:
    """Sums over the executions of an MVM.

    Attributes:
        calls: executions. clipped, v_mean, v_power: of readings, [P].
        signal, noise: powers of the integer output. statistical: executions on the statistical path.
        codes: see `Ran`, [3]; None where codes are not counted.
    """

    calls: Leaf
    clipped: Leaf
    v_mean: Leaf
    v_power: Leaf
    signal: Leaf
    noise: Leaf
    statistical: Leaf
    codes: Leaf | None = None

    @staticmethod
    def zeros(plan: MvmPlan) -> MvmTelemetry:
        """Every leaf is an array of its own: a training step may then donate them."""
        calls, signal, noise, statistical = (jnp.zeros((), jnp.float32) for _ in range(4))
        clipped, v_mean, v_power = (jnp.zeros(plan.passes, jnp.float32) for _ in range(3))
        codes = jnp.zeros(len(CODES), jnp.float32) if counts_codes(plan) else None
        return MvmTelemetry(calls, clipped, v_mean, v_power, signal, noise, statistical, codes)

    @staticmethod
    def of(plan: MvmPlan, ran: Ran, ranges: Float[Array, " passes"]) -> MvmTelemetry:
        """Of one execution."""
        reading = ran.reading
        noise = jnp.zeros((), jnp.float32) if plan.is_digital else plan.mean_noise_power(ranges)
        signal = jnp.mean(jnp.square(reading.product))
        return MvmTelemetry(
            jnp.ones((), jnp.float32),
            reading.clipped,
            reading.v_mean,
            reading.v_power,
            signal,
            noise,
            ran.statistical,
            ran.codes,
        )

    def mean(self) -> MvmTelemetry:
        """Over the executions; zeros where there were none."""
        return jax.tree.map(lambda total: total / jnp.maximum(self.calls, 1.0), self)

    def report(self, mvm: str, ranges: Float[Array, " passes"]) -> dict[str, Array]:
        """Scalars of an MVM on the array for `Site.update`'s report; infinite where it did not run.

        Args:
            ranges: R that the step ran at.
        """
        mean = self.mean()
        # A reading that is rounded to the right integer has no noise: its SNR ends at 120 dB.
        noise = jnp.maximum(jnp.maximum(mean.noise, 1e-12 * mean.signal), 1e-30)
        ratio = jnp.maximum(mean.signal - noise, 1e-6 * noise) / noise
        values = {
            "snr_db": 10.0 * jnp.log10(ratio),
            "clipped": jnp.mean(mean.clipped),
            "range": jnp.mean(ranges),
            "statistical": mean.statistical,
        }
        if mean.codes is not None:
            values |= dict(zip(CODES, mean.codes, strict=True))
        # Not NaN: a healthy run makes none, so that jax_debug_nans finds those of one that is not.
        return {f"{name}_{mvm}": jnp.where(self.calls > 0, value, jnp.inf) for name, value in values.items()}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Telemetry:
    """Of a site. largest_gradient: sum of the magnitudes that set scales. clip_statistics: sums of both, [2]."""

    mvms: Mapping[str, MvmTelemetry]
    largest_gradient: Leaf
    clip_statistics: Leaf

    @staticmethod
    def zeros(plans: Mapping[str, MvmPlan]) -> Telemetry:
        """Nothing seen."""
        mvms = {mvm: MvmTelemetry.zeros(plan) for mvm, plan in plans.items()}
        return Telemetry(mvms, jnp.zeros((), jnp.float32), jnp.zeros(2, jnp.float32))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SiteState:
    """What a site carries; float32.

    Attributes:
        needed_range: of each MVM and pass, [P] (see `ranges`). clipped: of each MVM's worst pass in the last step.
        gradient_scale: the carried scale. clips: learned ones of lhs and rhs, [2]. All are 0 while not yet known.
        telemetry: in a state zeros, in its cotangent what the step tells.
        chip: of this call; None for that of the site's hardware. Its cotangent is zero.
    """

    needed_range: Mapping[str, Leaf]
    clipped: Mapping[str, Leaf]
    gradient_scale: Leaf
    clips: Leaf
    telemetry: Telemetry
    chip: Chip | None = None

    @staticmethod
    def zeros(plans: Mapping[str, MvmPlan]) -> SiteState:
        """Of a site's MVMs by name, before the first step."""
        return SiteState(
            {mvm: jnp.zeros(plan.passes, jnp.float32) for mvm, plan in plans.items()},
            {mvm: jnp.zeros((), jnp.float32) for mvm in plans},
            jnp.zeros((), jnp.float32),
            jnp.zeros(2, jnp.float32),
            Telemetry.zeros(plans),
        )

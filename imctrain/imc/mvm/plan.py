"""The plan of one MVM of one site: everything static about how it runs on the array."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from imctrain.formats import Format, IntegerFormat
from imctrain.imc.chip.adc import converter
from imctrain.imc.chip.figures import Chip
from imctrain.imc.chip.ranges import range_policy
from imctrain.imc.coding.integer_passes import integer_mapping
from imctrain.imc.coding.passes import gradient_mapping
from imctrain.imc.coding.planes import PlaneCoding
from imctrain.imc.mvm.columns import MvmColumns
from imctrain.imc.mvm.tiling import cut
from imctrain.settings import Hardware


@dataclass(frozen=True)
class MvmPlan(MvmColumns):
    """One of a site's three MVMs, with what its converters and columns do to it."""

    def on(self, chip: Chip) -> MvmPlan:
        """The plan with a chip's figures, which may be traced, in place of those of its hardware."""
        knots = self.converter.inl[0]
        inl = (knots, chip.inl) if knots and chip.inl is not None else ((), ())
        live = replace(
            self.converter,
            sigma_array=chip.sigma_array,
            sigma_adc=chip.sigma_adc,
            sigma_slow=chip.sigma_slow,
            sigma_common=chip.sigma_common,
            thresholds=() if chip.thresholds is None else chip.thresholds,
            inl=inl,
        )
        return replace(self, converter=live, chip=chip)

    @property
    def snaps(self) -> Literal["always", "never", "depends"]:
        """Whether readings are rounded to the integers they must be (`Converter.resolves`), over the ranges that the
        policy may choose."""
        if not self.converter.integers:
            return "never"
        lsb = self.converter.lsb_at_full_range
        steps = [float(scale) * lsb * r for scale in self.full_scales for r in self.possible_ranges]
        resolved = [step <= 1.0 + 1e-6 for step in steps]
        return "always" if all(resolved) else "depends" if any(resolved) else "never"

    @property
    def possible_ranges(self) -> tuple[float, ...]:
        """Every R that a pass may have, largest first."""
        return range_policy(self.hardware.adc).possible(self.hardware.adc)

    def output_noise_power(self, ranges: Float[Array, " passes"]) -> Float[Array, ""]:
        """Variance of one sample of the product around the ideal one, the mean over outputs.

        Args:
            ranges: R of each pass, [P].
        """
        total = self.fresh_noise_power(ranges)
        if (slow := self.slow_powers()) is not None:
            total = total + jnp.mean(slow)
        if (common := self.common_weights()) is not None:
            total = total + self._common_power(common)
        return total

    def fresh_noise_power(self, ranges: Float[Array, " passes"]) -> Float[Array, ""]:
        """Of what is drawn anew at every conversion, the mean over outputs."""
        each = self.output_noise_powers(ranges)
        if each is not None:
            return jnp.mean(each)
        coefficients = jnp.asarray(self.mapping.coefficients, jnp.float32)
        planes = sum(beta * beta for beta in self.coding.weights)
        scales, counts = np.unique(self.full_scales, return_counts=True)
        tiles = [
            float(count * np.float64(scale) ** 2) * self.converter.noise_power(ranges, float(scale))
            for scale, count in zip(scales, counts, strict=True)
        ]
        return planes * jnp.sum(jnp.square(coefficients) * sum(tiles))

    def output_noise_powers(self, ranges: Float[Array, " passes"]) -> Float[Array, "groups outputs"] | None:
        """Variance of every output by what each conversion draws anew and by rounding, [G or 1, N]; None where all
        columns are alike: sum over t, p, j of (c_p beta_j full_scale_t)^2 var(v).

        Args:
            ranges: R of each pass, [P].
        """
        relative, multiplier = self.column_noise(), self.column_multipliers()
        if relative is None and multiplier is None:
            return None
        shape = (self.tiles.count, 1, 1 if self.shared_columns else self.groups, self.planes, self.outputs)
        scales = jnp.asarray(self.full_scales).reshape(-1, 1, 1, 1, 1)
        times = None if multiplier is None else jnp.asarray(multiplier).reshape(shape)
        of_chip = 1.0 if relative is None else jnp.asarray(relative).reshape(shape)
        power = self.converter.noise_power(ranges.reshape(-1, 1, 1, 1), scales, of_chip, times)
        coefficients = jnp.asarray(self.mapping.coefficients, jnp.float32).reshape(-1, 1, 1, 1)
        beta = jnp.asarray(self.coding.weights, jnp.float32).reshape(-1, 1)
        return jnp.sum(jnp.square(coefficients * beta * scales) * power, axis=(0, 1, 3))

    def mean_noise_power(self, ranges: Float[Array, " passes"]) -> Float[Array, ""]:
        """Variance of the mean over samples, see `output_noise_power`. What a column keeps over them is not averaged,
        unless chopping turns it in each."""
        slow, common = self.slow_powers(), self.common_weights()
        if slow is None and common is None:
            return self.output_noise_power(ranges) / self.samples
        drawn_anew = self.fresh_noise_power(ranges) + (0.0 if common is None else self._common_power(common))
        held = jnp.zeros(()) if slow is None else jnp.mean(slow)
        return drawn_anew / self.samples + held / (self.samples if self.chopped else 1)

    @property
    def chopped(self) -> bool:
        """Whether vectors are driven with random signs: codes that are never negative cannot turn."""
        return self.hardware.array.chop and self.signed

    @property
    def shares_noise(self) -> bool:
        """Whether a part of the noise is one draw for several conversions."""
        return self.converter.sigma_slow is not None or self.converter.sigma_common is not None

    def slow_powers(self) -> Float[Array, "groups outputs"] | None:
        """Variance of every output by the noise that its columns keep through an MVM, its passes and repeats, [G or 1,
        N or 1]; None without: sum over t, j of (sum_p c_p)^2 (beta_j full_scale_t r_tj sigma_slow)^2."""
        if self.converter.sigma_slow is None:
            return None
        passes = float(sum(self.mapping.coefficients)) ** 2
        return passes * jnp.sum(jnp.square(self._weighted_noise() * self.converter.sigma_slow), axis=(0, 2))

    def common_weights(self) -> Float[Array, "tiles groups outputs"] | None:
        """What one standard deviation of the noise that all columns of a pass share makes of every output at c_p = 1,
        [T, G or 1, N or 1]; None without: sum over j of beta_j full_scale_t r_tj sigma_common."""
        if self.converter.sigma_common is None:
            return None
        return jnp.sum(self._weighted_noise(), axis=2) * self.converter.sigma_common

    def _common_power(self, weights: Float[Array, "tiles groups outputs"]) -> Float[Array, ""]:
        """sum over t, p of (c_p weight_t)^2, the mean over outputs."""
        passes = float(np.sum(np.square(self.mapping.coefficients)))
        return passes * jnp.mean(jnp.sum(jnp.square(weights), axis=0))

    def _weighted_noise(self) -> Float[Array, "tiles groups planes outputs"]:
        """beta_j full_scale_t r_tj, [T, G or 1, J, N]; N is 1 where columns are alike. What the digital side multiplies
        readings by is in r."""
        beta = jnp.asarray(self.coding.weights, jnp.float32).reshape(-1, 1)
        weights = beta * jnp.asarray(self.full_scales).reshape(-1, 1, 1, 1)
        shape = (self.tiles.count, 1 if self.shared_columns else self.groups, self.planes, self.outputs)
        for factor in (self.column_noise(), self.column_multipliers()):
            if factor is not None:
                weights = weights * jnp.asarray(factor).reshape(shape)
        return weights


@functools.cache
def plan_mvm(
    name: str,
    *,
    site_index: int,
    groups: int,
    vectors: int,
    contraction: int,
    outputs: int,
    unit: int,
    shared_columns: bool,
    input_format: Format,
    stored_format: IntegerFormat,
    hardware: Hardware,
) -> MvmPlan:
    """Plan one MVM.

    Args:
        unit: rows that a tile must keep together (kernel positions of a convolution that stays one), 1 otherwise.
        input_format, stored_format: of the operand that is driven and of the one that cells hold.
    """
    coding = PlaneCoding(hardware.array.cell, stored_format, hardware.mapping.planes)
    if isinstance(input_format, IntegerFormat):
        mapping = integer_mapping(hardware.mapping, hardware.array, input_format)
    else:
        mapping = gradient_mapping(hardware.mapping, hardware.array)
    non_negative = mapping.non_negative(input_format.lowest) and hardware.array.cell == "and"
    return MvmPlan(
        name=name,
        site_index=site_index,
        groups=groups,
        vectors=vectors,
        contraction=contraction,
        outputs=outputs,
        shared_columns=shared_columns,
        signed=input_format.signed,
        samples=hardware.mapping.gradient_samples if name != "forward" else 1,
        mapping=mapping,
        coding=coding,
        tiles=cut(contraction // unit, hardware.array, unit),
        converter=converter(hardware, non_negative=non_negative),
        hardware=hardware,
    )

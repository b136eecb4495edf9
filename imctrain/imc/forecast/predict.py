"""What an MVM is expected to give on its hardware, before any data is seen: signal, noise, offset, range, clipping.

With operands as in `typical` (elements independent, gradients and weights of mean 0), N rows, K elements contracted,
X_p the driven codes of pass p, W_j the cells of plane j, FS_t full scale of tile t, q = lsb R:

    voltage     mean K_t E[X_p] E[W_j] / FS_t, variance K_t (E[X_p^2] E[W_j^2] - (E[X_p] E[W_j])^2) / FS_t^2
    range       what the site's policy settles on for these voltages, with the noise and offsets that it sees too
    signal      K E[x^2] E[w^2] P^2, the power of the product, of which converters let the share P^2 through
    noise       sum over t, p, j of (c_p beta_j FS_t q_p)^2 (sigma_p^2 + 1/12) over the samples, and what conversions
                share, of which samples do not average the slow part, as `MvmPlan.mean_noise_power`
    offset      sum over t, p, j of c_p beta_j FS_t o_tj of each output, the same at every step; its rms counts
    clipped     share of Gaussian voltages outside the converter's codes

P is what rounding leaves of a small signal. The slope of a rounding whose input is Gaussian with standard deviation s
(signal and noise, in LSB) around a mean a is

    slope = 1 + 2 sum_k (-1)^k exp(-2 pi^2 k^2 s^2) cos(2 pi k a)

which is 0.99 at s = 0.5, 0.66 at 0.3 and 0.17 at 0.2 (a = 0): such a column reads 0 nearly always. The sum is that of
`dither`, with the signal dithering itself. All of this is an estimate within a few dB, and this project's decision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from imctrain.formats.clips.noise_aware import levels, lowering
from imctrain.imc.chip.curves import curve
from imctrain.imc.chip.ranges import choose_range
from imctrain.imc.chip.ranges.base import SILENT
from imctrain.imc.forecast.typical import Codes, typical_codes
from imctrain.imc.mvm.operand import OperandInfo, integer_format
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.site.site import Site
from imctrain.settings import MVMS

SETTLING = 32
"""Steps that a range is given to settle; each at least halves it."""


@dataclass(frozen=True)
class Prediction:
    """Of one MVM.

    Attributes:
        plan: of the MVM. gradient: a radix-4 gradient drives it.
        product: power of the ideal integer product. passed: P, the share of its amplitude that the converters' steps
            let through.
        noise: variance of the product, conversions and samples as configured.
        offset: rms over outputs of what column offsets add to the product, after the offset calibration.
        chopped: random signs turn the offset into noise.
        ranges: R of each pass. swing_lsb: rms of the column voltage around its mean, in LSB at that R, of each pass.
        clipped: fraction of the conversions that clip.
        reach_lsb: the most that any conversion can read before rounding, in LSB; infinite with noise. Up to 1/2, every
            code is 0.
        code, levels: the largest code that is driven, and the largest that the DAC has.
    """

    plan: MvmPlan = field(repr=False)
    gradient: bool
    product: float
    passed: float
    noise: float
    offset: float
    chopped: bool
    ranges: tuple[float, ...]
    swing_lsb: tuple[float, ...]
    clipped: float
    reach_lsb: float
    code: float
    levels: int

    @property
    def signal(self) -> float:
        """Power of the product as the converters let it through."""
        return self.product * self.passed**2

    @property
    def snr_db(self) -> float:
        """Signal to conversion noise of the product, as the report's `snr_db_<mvm>` has it; at least -60."""
        return 10 * math.log10(max(self.signal / self.noise, 1e-6)) if self.noise > 0 else math.inf

    @property
    def effective_snr_db(self) -> float:
        """The same, with chopped offsets counted as the noise that they have become."""
        total = self.noise + (self.offset**2 / self.plan.samples if self.chopped else 0.0)
        return 10 * math.log10(max(self.signal / total, 1e-6)) if total > 0 else math.inf

    @property
    def force(self) -> float:
        """The offset that is the same at every step, over the rms of the ideal product; 0 where it is chopped."""
        return 0.0 if self.chopped else self.offset / math.sqrt(self.product)


def predict(site: Site) -> dict[str, Prediction]:
    """Predictions of the MVMs of a site that run on the array, by MVM.

    May be called while JAX traces something else: nothing here depends on data.
    """
    with jax.ensure_compile_time_eval():
        spec = site.spec
        formats = spec.hardware.formats
        driven, stored = (spec.lhs, spec.rhs) if spec.driven == "lhs" else (spec.rhs, spec.lhs)
        gradient = OperandInfo("gradient")
        plans = {plan.name: plan for plan in site.mvms if not plan.is_digital}
        lowered = (1.0, 1.0)
        if formats.noise_aware and "forward" in plans and driven.kind != "gradient":
            first = _predict(plans["forward"], typical_codes(driven, formats), typical_codes(stored, formats), False)
            lowered = _clip_lowering(first, driven, stored)
        codes = {
            "driven": typical_codes(driven, formats, lowered[0]),
            "stored": typical_codes(stored, formats, lowered[1]),
            "gradient": typical_codes(gradient, formats),
        }
        operands = {
            "forward": (codes["driven"], codes["stored"], driven.kind == "gradient"),
            "input_grad": (codes["gradient"], codes["stored"], True),
            "weight_grad": (codes["gradient"], codes["driven"], True),
        }
        return {mvm: _predict(plans[mvm], *operands[mvm]) for mvm in MVMS if mvm in plans}


def slope(swing_lsb: np.ndarray, mean_lsb: np.ndarray | float = 0.0) -> np.ndarray:
    """Mean slope of a rounding whose input is Gaussian around `mean_lsb`, see the module; 0 or more, broadcast.

    Below half an LSB the same is summed as the density of the input at the steps, which converges faster.
    """
    spread, mean = np.broadcast_arrays(np.asarray(swing_lsb, np.float64), mean_lsb)
    wide, narrow = np.maximum(spread, 0.5), np.clip(spread, 1e-3, 0.5)
    fourier, density = np.ones(spread.shape), np.zeros(spread.shape)
    for k in range(1, 4):
        fourier += 2 * (-1) ** k * np.exp(-2 * (np.pi * k * wide) ** 2) * np.cos(2 * np.pi * k * mean)
    for step in np.arange(-4.5, 5.0):
        density += np.exp(-0.5 * ((step - mean + np.round(mean)) / narrow) ** 2) / (narrow * math.sqrt(2 * np.pi))
    return np.where(spread >= 0.5, fourier, density)


def _clip_lowering(first: Prediction, driven: OperandInfo, stored: OperandInfo) -> tuple[float, float]:
    """What noise-aware formats multiply the clips by (`encode.clip_lowering`), at the predicted ranges."""
    plan = first.plan
    nu = float(plan.output_noise_power(jnp.asarray(first.ranges, jnp.float32))) / plan.contraction
    kinds = integer_format(driven, plan.hardware.formats), integer_format(stored, plan.hardware.formats)
    noise = levels(*kinds)
    at = math.log(max(nu, float(noise[1])))
    one, two = (float(np.interp(at, np.log(noise[1:]), table[1:])) for table in lowering(*kinds))
    return one, two


def _predict(plan: MvmPlan, driven: Codes, stored: Codes, gradient: bool) -> Prediction:
    conv = plan.converter
    x = np.asarray(plan.mapping.drive(jnp.asarray(driven.values, jnp.float32)), np.float64)  # [P, n]
    w = np.stack(plan.coding.cells(jnp.asarray(stored.values, jnp.float32))).astype(np.float64)  # [J, n]
    x_mean, x_power = x @ driven.probabilities, x**2 @ driven.probabilities
    w_mean, w_power = w @ stored.probabilities, w**2 @ stored.probabilities
    rows = np.asarray(plan.tiles.rows_used, np.float64)
    full = plan.full_scales.astype(np.float64)
    mean = (rows / full)[:, None, None] * x_mean[:, None] * w_mean  # [T, P, J], as are all voltages
    product = x_mean[:, None] * w_mean
    variance = (rows / full**2)[:, None, None] * np.maximum(x_power[:, None] * w_power - product**2, 0.0)
    gain, seen, left = _pattern(plan)
    reference = _settled(plan, mean, variance + float(np.mean(seen**2)))
    lsb = (reference * conv.lsb_at_full_range)[:, None]
    shared = math.sqrt(float(conv.shared_power))
    sigma = np.hypot(np.hypot(conv.sigma_array, shared) / lsb, conv.sigma_adc)  # [P, 1]

    coefficients, beta = np.asarray(plan.mapping.coefficients), np.asarray(plan.coding.weights)
    weights = np.square(coefficients)[:, None] * x_power[:, None] * np.square(beta) * w_power
    slopes = slope(np.sqrt(variance / lsb**2 + sigma**2), mean / lsb)
    passed = float(np.sum(np.mean(slopes, axis=0) * weights) / max(np.sum(weights), 1e-300))
    bias = np.sum(coefficients) * np.sum(full[:, None, None] * np.sum(left * beta[:, None], axis=-2), axis=0)
    return Prediction(
        plan=plan,
        gradient=gradient,
        product=plan.contraction * driven.power * stored.power,
        passed=min(passed, 1.0),
        noise=float(plan.mean_noise_power(jnp.asarray(reference, jnp.float32))),
        offset=float(np.sqrt(np.mean(bias**2))),
        chopped=plan.hardware.array.chop and plan.signed,
        ranges=tuple(float(r) for r in reference),
        swing_lsb=tuple(float(s) for s in np.sqrt(np.mean(variance, axis=(0, 2))) / lsb[:, 0]),
        clipped=_clipped(plan, mean, np.sqrt(variance + (sigma * lsb) ** 2 + float(np.mean(seen**2))), lsb),
        reach_lsb=_reach(plan, x, w, gain, seen),
        code=float(np.max(np.abs(x))),
        levels=plan.hardware.array.levels,
    )


def _pattern(plan: MvmPlan) -> tuple[float, np.ndarray, np.ndarray]:
    """The largest gain, and the offset of every column before and after its digital correction, fractions of full
    scale, [T, G or 1, J, N]. The INL counts as an offset: its value at zero, that of single columns included."""
    knots, values = plan.converter.inl
    inl: float | np.ndarray = float(np.interp(0.0, knots, values)) if knots else 0.0
    shape = (plan.tiles.count, 1 if plan.shared_columns else plan.groups, plan.planes, plan.outputs)
    curves = plan.column_curves()
    if curves is not None:
        columns = [np.asarray(part, np.float64).reshape(shape) for part in curves]
        inl = inl + curve(columns, np.zeros(()), plan.converter.lowest_v)
    errors = plan.column_errors()
    if errors is None:
        flat = np.broadcast_to(inl, (1, 1, plan.planes, 1)) if curves is None else np.asarray(inl)
        return 1.0, flat, np.broadcast_to(flat, (plan.tiles.count, *flat.shape[1:]))
    gain, offset, correction = (np.asarray(part, np.float64).reshape(shape) for part in errors[:3])
    seen = offset + gain * inl
    left = seen - correction if plan.hardware.adc.offset_conversions else seen
    multiplier = plan.column_multipliers()
    left = left if multiplier is None else left * np.asarray(multiplier, np.float64).reshape(shape)
    return float(np.max(np.abs(gain))), seen, left


def _settled(plan: MvmPlan, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """R of each pass, [P], that the range policy settles on. mean, variance: of signal and offsets, [T, P, J]."""
    adc, conv = plan.hardware.adc, plan.converter
    centre = np.mean(mean, axis=(0, 2))
    spread = np.mean(variance + np.square(mean - centre[:, None]), axis=(0, 2))

    def choose(needed: np.ndarray) -> np.ndarray:
        return np.asarray(choose_range(jnp.asarray(needed, jnp.float32), adc), np.float64)

    reference = choose(np.zeros(plan.passes))
    for _ in range(SETTLING):
        power = conv.noise_power(jnp.asarray(reference, jnp.float32), float(plan.full_scales.max()))
        noise = np.asarray(power, np.float64) + float(conv.shared_power)
        smaller = choose(np.abs(centre) + adc.headroom * np.sqrt(spread + noise))
        if np.all(smaller >= reference):
            break
        reference = np.minimum(reference, smaller)
    return reference


def _clipped(plan: MvmPlan, mean: np.ndarray, std: np.ndarray, lsb: np.ndarray) -> float:
    """Share of Gaussian voltages beyond the converter's codes.

    Voltages that cannot be negative clip at the top only: the noise that a unipolar converter cuts off below code 0 is
    no lost signal.
    """
    conv = plan.converter
    std = np.maximum(std, 1e-30)
    beyond = _tail(((conv.highest + 0.5) * lsb - mean) / std)
    if plan.signed or plan.mapping.centre or plan.coding.cell == "xnor" or not conv.unipolar:
        beyond = beyond + _tail((mean - (conv.lowest - 0.5) * lsb) / std)
    return float(np.mean(beyond))


def _tail(z: np.ndarray) -> np.ndarray:
    """P(Gaussian > z)."""
    return 0.5 * np.vectorize(math.erfc)(z / math.sqrt(2.0))


def _reach(plan: MvmPlan, x: np.ndarray, w: np.ndarray, gain: float, offsets: np.ndarray) -> float:
    """See `Prediction.reach_lsb`: all codes at their largest, all of one sign, at the smallest range of the policy."""
    conv = plan.converter
    if plan.hardware.has_noise or conv.inl[0] or plan.hardware.has_curves or conv.has_dnl:
        return math.inf
    silent = jnp.full(plan.passes, SILENT, jnp.float32)
    lsb = np.asarray(choose_range(silent, plan.hardware.adc), np.float64) * conv.lsb_at_full_range
    rows = np.asarray(plan.tiles.rows_used, np.float64) / plan.full_scales
    voltage = gain * np.max(rows) * np.max(np.abs(x), axis=1) * np.max(np.abs(w)) + np.max(np.abs(offsets))
    return float(np.max(voltage / lsb))

"""Which MVMs may run on the statistical path: the dither bound, the INL, and the clipping that a probe measures.

The INL of the chip may be `inl_limit` LSB at R = 1 off its line; what a column's own curve may be off the line that
stands for it over the range in use is the same number of LSB of that range, and so is what a code's edge may be off its
place: the mean of a dithered reading is off by no more than the edges around it.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.imc.engines.dither import bias_bound, least_sigma
from imctrain.imc.engines.kernels.statistical import curve_lines, inl_residual_lsb
from imctrain.imc.mvm.plan import MvmPlan

Validity = Literal["always", "never", "depends"]
MARGIN = 3.0
"""Standard deviations of noise that lie between what a dead column reads and the last code: less clips 0.1 %."""


def validity(plan: MvmPlan) -> tuple[Validity, str]:
    """Whether noise dithers an MVM's converters at every range its policy may choose, and why not.

    Clipping comes on top: it is known only from running.
    """
    limits = plan.hardware.statistical
    residual = inl_residual_lsb(plan)
    if residual > limits.inl_limit:
        return "never", f"the INL is {residual:.2f} LSB from a straight line, the limit is {limits.inl_limit:g}"
    misplaced = edge_error_lsb(plan)
    if misplaced > limits.inl_limit:
        return "never", (
            f"an edge of the converter's codes is {misplaced:.2f} LSB off its place (DNL), the limit is "
            f"{limits.inl_limit:g}"
        )
    least = least_sigma(limits.bias_limit)
    found = {reference: _dithering(plan, reference) for reference in plan.possible_ranges}
    clipping = [_constants_clip(plan, reference) for reference in plan.possible_ranges]
    curved = [_curve_residual(plan, reference) for reference in plan.possible_ranges]
    enough = [
        sigma >= least and not clips and curve <= limits.inl_limit
        for sigma, clips, curve in zip(found.values(), clipping, curved, strict=True)
    ]
    if all(enough):
        return "always", ""
    answer: Validity = "depends" if any(enough) else "never"
    if any(clipping):
        return answer, (
            "what dead columns read may clip, and clips at every conversion: spare columns (array.spare_columns) help"
        )
    if max(curved) > limits.inl_limit:
        return answer, (
            f"the INL of a single column is {max(curved):.2f} LSB of the range from a straight line, the limit is "
            f"{limits.inl_limit:g}"
        )
    worst = min(found, key=lambda reference: found[reference])
    finest = min(float(scale) for scale in plan.full_scales)
    if plan.converter.integers and worst * plan.converter.lsb_at_full_range * finest < 1.0:
        why = (
            f"the converter resolves single integers, which only the exact path rounds back to: noise of "
            f"{found[worst]:.2f} units does not dither them (sigma {least:.2f})"
        )
    else:
        why = (
            f"noise of {found[worst]:.2f} LSB before rounding leaves a bias of up to {bias_bound(found[worst]):.3f} "
            f"LSB, the limit is {limits.bias_limit:g} (sigma {least:.2f})"
        )
    return answer, why


def _dithering(plan: MvmPlan, reference: float) -> float:
    """`Converter.dithering` where it is least, of tiles and columns, in plain Python: plans are made in traces too."""
    conv = plan.converter
    lsb = reference * conv.lsb_at_full_range
    noise = _quietest(plan) * math.hypot(float(conv.sigma_array), float(conv.sigma_adc) * lsb)
    step = max(lsb, 1.0 / float(plan.full_scales.min())) if conv.integers else lsb
    return noise / step


def _quietest(plan: MvmPlan) -> float:
    relative = plan.column_noise()
    return 1.0 if relative is None else float(np.min(relative))


def _constants_clip(plan: MvmPlan, reference: float) -> bool:
    """`constants_fit` fails at a range, in plain numpy."""
    if not plan.hardware.has_dead_columns:
        return False
    conv, lsb = plan.converter, reference * plan.converter.lsb_at_full_range
    sigma = math.hypot(float(conv.sigma_array) / lsb, float(conv.sigma_adc), math.sqrt(float(conv.shared_power)) / lsb)
    gain, offset, _ = (np.asarray(part) for part in plan.column_errors() or (np.ones(1), np.zeros(1), np.zeros(1)))
    code = np.where(gain == 0, offset / lsb, 0.5 * (conv.lowest + conv.highest))
    beyond = (code + MARGIN * sigma > conv.highest) | (code - MARGIN * sigma < conv.lowest)
    return bool(np.any((gain == 0) & beyond))


def constants_fit(plan: MvmPlan, ranges: Array) -> Array:
    """Whether the constants of dead columns, and their noise, lie within the codes of every pass. Scalar bool.

    They are the same at every conversion, and a probe of some columns may not meet them.
    """
    gain, offset, _ = (jnp.asarray(part)[..., None] for part in plan.column_errors() or (1.0, 0.0, 0.0))
    conv = plan.converter
    lsb, sigma = ranges * conv.lsb_at_full_range, conv.sigma_lsb(ranges)
    if plan.shares_noise:
        sigma = jnp.sqrt(jnp.square(sigma) + conv.shared_power / jnp.square(lsb))
    code, room = offset / lsb, MARGIN * sigma
    inside = (code + room <= conv.highest) & (code - room >= conv.lowest)
    return jnp.all(inside | (gain != 0))


def _curve_residual(plan: MvmPlan, reference: float) -> float:
    """`curve_residual_lsb` where all passes have one range."""
    return float(np.max(curve_residual_lsb(plan, np.full(plan.passes, reference, np.float32))))


def edge_error_lsb(plan: MvmPlan) -> Any:
    """What an edge of the converter's codes is off its place, at most, LSB of any range: a float, or traced where the
    chip is."""
    if not plan.converter.has_dnl:
        return 0.0
    edges = plan.converter.thresholds
    places = np.arange(len(edges), dtype=np.float32) + 0.5
    return jnp.max(jnp.abs(edges - places)) if isinstance(edges, Array) else float(np.max(np.abs(edges - places)))


def curve_residual_lsb(plan: MvmPlan, ranges: Any) -> Any:
    """What the INL of an MVM's columns may be off the lines that stand for their own curves, at most, in LSB of the
    range of each pass, [P]: each shape's largest distance counts, at the worst column.

    Args:
        ranges: R of each pass, [P], of numpy; or of JAX where the chip is given.
    """
    curves = plan.column_curves()
    if curves is None:
        return 0.0 * ranges
    distance = curve_lines(plan, ranges).distance
    each = sum(abs(c.reshape(-1, 1)) * d for c, d in zip(curves, distance, strict=True))
    return each.max(axis=0) / (ranges * plan.converter.lsb_at_full_range)


def dithered(plan: MvmPlan, ranges: Array, clipped: Array) -> Array:
    """Whether the statistical path holds now: every pass is dithered at its range and clips little. Scalar bool.

    Args:
        ranges: R of each pass, [P]. clipped: the clipped fraction of the MVM's worst pass.
    """
    limits = plan.hardware.statistical
    sigma = plan.converter.dithering(ranges, float(plan.full_scales.min()))
    relative = plan.column_noise()
    if relative is not None:
        sigma = sigma * jnp.min(relative)
    enough = jnp.all(sigma >= least_sigma(limits.bias_limit) * (1 - 1e-6)) & (clipped <= limits.clip_limit)
    if plan.hardware.has_dead_columns:
        enough = enough & constants_fit(plan, ranges)
    if plan.column_curves() is not None:
        enough = enough & jnp.all(curve_residual_lsb(plan, ranges) <= limits.inl_limit * (1 + 1e-6))
    if plan.converter.has_dnl:
        enough = enough & (edge_error_lsb(plan) <= limits.inl_limit * (1 + 1e-6))
    # Of the hardware's own INL this is known; a chip that is given may have another one.
    return enough if plan.chip is None else enough & (inl_residual_lsb(plan) <= limits.inl_limit * (1 + 1e-6))

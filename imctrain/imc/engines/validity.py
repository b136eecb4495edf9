"""Which MVMs may run on the statistical path: the dither bound, the INL, and the clipping that a probe measures."""

from __future__ import annotations

import math
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.imc.engines.dither import bias_bound, least_sigma
from imctrain.imc.engines.kernels.statistical import inl_residual_lsb
from imctrain.imc.mvm.plan import MvmPlan

Validity = Literal["always", "never", "depends"]


def validity(plan: MvmPlan) -> tuple[Validity, str]:
    """Whether noise dithers an MVM's converters at every range its policy may choose, and why not.

    Clipping comes on top: it is known only from running.
    """
    limits = plan.hardware.statistical
    residual = inl_residual_lsb(plan)
    if residual > limits.inl_limit:
        return "never", f"the INL is {residual:.2f} LSB from a straight line, the limit is {limits.inl_limit:g}"
    least = least_sigma(limits.bias_limit)
    found = {reference: _dithering(plan, reference) for reference in plan.possible_ranges}
    enough = [sigma >= least for sigma in found.values()]
    if all(enough):
        return "always", ""
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
    return ("depends" if any(enough) else "never"), why


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
    # Of the hardware's own INL this is known; a chip that is given may have another one.
    return enough if plan.chip is None else enough & (inl_residual_lsb(plan) <= limits.inl_limit * (1 + 1e-6))

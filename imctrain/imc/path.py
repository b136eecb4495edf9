"""Which MVMs may run on the statistical path: the dither bound, the INL, and the clipping measured so far."""

from __future__ import annotations

import math
from typing import Literal

import jax.numpy as jnp
from jax import Array

from imctrain.imc.adc import Converter
from imctrain.imc.dither import bias_bound, least_sigma
from imctrain.imc.hardware import Hardware
from imctrain.imc.plan import MvmPlan
from imctrain.imc.statistical import inl_residual_lsb

Validity = Literal["always", "never", "depends"]


def validity(plan: MvmPlan) -> tuple[Validity, str]:
    """Whether noise dithers an MVM's converters at every range its policy may choose, and why not.

    Clipping comes on top: it is known only from running.
    """
    hardware = plan.hardware
    limits, conv = hardware.statistical, plan.converter
    if plan.snaps:
        return "never", "the converter resolves single integers, which only the exact path rounds back to"
    residual = inl_residual_lsb(plan)
    if residual > limits.inl_limit:
        return "never", f"the INL is {residual:.2f} LSB from a straight line, the limit is {limits.inl_limit:g}"
    least = least_sigma(limits.bias_limit)
    wide = _sigma_lsb(conv, hardware.adc.range)
    if wide >= least:
        return "always", ""
    why = (
        f"noise of {wide:.2f} LSB before rounding leaves a bias of up to {bias_bound(wide):.3f} LSB, the limit is "
        f"{limits.bias_limit:g} (sigma {least:.2f})"
    )
    return ("depends" if _sigma_lsb(conv, _smallest_range(hardware)) >= least else "never"), why


def _sigma_lsb(conv: Converter, reference: float) -> float:
    """`Converter.sigma_lsb` of a known range, in plain Python: a plan may be made inside a trace."""
    return math.hypot(conv.sigma_array / (reference * conv.lsb_at_full_range), conv.sigma_adc)


def _smallest_range(hardware: Hardware) -> float:
    adc = hardware.adc
    return {"fixed": adc.range, "two_level": min(adc.range, adc.low_range), "per_site": adc.min_range}[adc.range_policy]


def dithered(plan: MvmPlan, ranges: Array, clipped: Array) -> Array:
    """Whether the statistical path holds now: every pass is dithered at its range and clips little. Scalar bool.

    Args:
        ranges: R of each pass, [P]. clipped: the newest clipped fraction of the MVM's worst pass.
    """
    limits = plan.hardware.statistical
    enough = jnp.all(plan.converter.sigma_lsb(ranges) >= least_sigma(limits.bias_limit) * (1 - 1e-6))
    return enough & (clipped <= limits.clip_limit)

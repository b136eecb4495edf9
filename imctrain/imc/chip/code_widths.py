"""DNL: codes of the converter that differ in width.

Thresholds are voltages in codes above the lowest code, from which on the codes after it are given, rising, [2**B - 1]:
nominal are 1/2, 3/2, ..., and two equal ones are a missing code. They are the same at every reference range.
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
from jax import Array

from imctrain.calibration.schema.dnl import all_thresholds
from imctrain.settings import Hardware


@functools.cache
def code_thresholds(hardware: Hardware) -> tuple[float, ...]:
    """Of the chip; empty where all codes are one LSB wide.

    A converter that is used unipolar though it was calibrated bipolar (or the other way round) gives the same bits of
    the offset-binary code: code - lowest code is what the table is of (this project's decision).
    """
    if not hardware.has_dnl:
        return ()
    chip = hardware.chip
    steps = 2**chip.reference_bits
    lowest = -steps // 2 if chip.reference_polarity == "bipolar" else 0
    found = all_thresholds(chip.dnl_first_code, chip.dnl_thresholds, lowest, lowest + steps - 1)
    return tuple((found - lowest).tolist())


def look_up(voltage: Array, thresholds: Any, lowest: int) -> Array:
    """The code of a voltage in codes; beyond all codes the nearest integer, so that it clips.

    Args:
        thresholds: [2**B - 1], may be traced. lowest: code of the converter.
    """
    nearest = jnp.round(voltage)
    edges = jnp.asarray(thresholds, jnp.float32)
    above = jnp.searchsorted(edges, voltage - lowest, side="right", method="scan_unrolled")
    inside = (nearest >= lowest) & (nearest <= lowest + len(thresholds))
    return jnp.where(inside, lowest + above.astype(jnp.float32), nearest)


def rounding_power(thresholds: Any) -> Array:
    """Variance of rounding to such codes, LSB^2.

    Over inputs that are evenly spread between the first threshold and the last: sum over codes of the integral of
    (x - code)^2, over the sum of widths, the mean's square taken off. It is sum w^3 / (12 sum w) where every code
    lies in the middle of its width.
    """
    at = jnp.asarray(thresholds, jnp.float32) - jnp.arange(1, len(thresholds) + 1, dtype=jnp.float32)
    low, high = at[:-1], at[1:] + 1.0
    width = jnp.sum(high - low)
    mean = jnp.sum(jnp.square(high) - jnp.square(low)) / (2.0 * width)
    return jnp.sum(high**3 - low**3) / (3.0 * width) - jnp.square(mean)

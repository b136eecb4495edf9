"""What readings at a known input tell of a column's gain, and what the digital side multiplies it by.

All columns are read at an input v0 (`adc.gain_input`, a fraction of full scale: cells that are all set, rows at one
code) and at zero, n times each, by the converter in use at range `adc.gain_range`. With M(a) and V(a) the mean and the
variance of one reading at a voltage a (`offset_readings`), in LSB of that range, and m the means of n readings,

    estimate    g = (m(v0) - m(0)) lsb / v0
    its mean    (M(a1) - M(a0)) lsb / v0            a1 = gain (v0 + inl(v0)) + offset,   a0 = gain inl(0) + offset
    variance    (V(a1) + V(a0)) (lsb / v0)^2 / n

The offset cancels, so gains may be calibrated without offsets. An INL between 0 and v0 counts as gain, that of a single
column too. Slow noise is the same in the n readings at one input, so that they do not average it. The digital side
multiplies what is left of a reading after its offset correction by 1/g, which takes a multiplier for every conversion
(`cost.events`). A column with an estimate outside of 1/2 to 2 does not follow its input, and one that reads the highest
code is not read at all: both are left as they are. All of this is this project's decision.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from imctrain.imc.chip.columns import macro_readings, macros_of, offset_converter, side_by_side
from imctrain.settings import Hardware

GAINS = 11
"""Sets the draws of gain readings apart from those of offsets and of the errors themselves."""
LEAST, MOST = 0.5, 2.0
"""Estimates that are believed."""


def has_multipliers(hardware: Hardware) -> bool:
    """Whether gains are calibrated, and there is something to tell."""
    curved = hardware.has_inl or hardware.has_curves
    return hardware.adc.gain_conversions > 0 and (hardware.has_mismatch or curved)


@functools.cache
def macro_multipliers(macro: int, hardware: Hardware) -> np.ndarray:
    """What the digital side multiplies readings of every column of one macro by, float64 [columns].

    Each column keeps its draw, which is Gaussian with the exact mean and variance of the estimate.
    """
    count, columns = hardware.adc.gain_conversions, hardware.array.columns
    if not has_multipliers(hardware):
        return np.ones(columns)
    conv, driven = offset_converter(hardware), hardware.adc.gain_input
    high, low = (macro_readings(macro, v, hardware.adc.gain_range, hardware) for v in (driven, 0.0))
    draw = hardware.chip.column_draw
    rng = np.random.default_rng([hardware.chip_seed, macro, GAINS, *([draw] if draw else [])])
    error = np.sqrt((high.variance + low.variance) / count) * rng.standard_normal(columns)
    if hardware.has_common_noise:
        error = error + np.hypot(high.common, low.common) / math.sqrt(count) * rng.standard_normal()
    estimate = (high.mean - low.mean + error) * (high.lsb / driven)
    believed = (estimate >= LEAST) & (estimate <= MOST) & (high.mean < conv.highest - 0.5)
    return np.where(believed, 1.0 / np.where(believed, estimate, 1.0), 1.0)


def column_multipliers(site_index: int, mvm: str, tiles: int, width: int, hardware: Hardware) -> np.ndarray | None:
    """What readings of each tile's columns are multiplied by, float32 [T, W]; None where gains are not calibrated."""
    if not has_multipliers(hardware):
        return None
    macros = macros_of(site_index, mvm, tiles, width, hardware).tolist()
    rows = [
        side_by_side([macro_multipliers(macro, hardware) for macro in each], each, hardware)[:width] for each in macros
    ]
    return np.stack(rows).astype(np.float32)

"""Floor plan: which physical columns each MVM of each site lands on, decided once and never redrawn.

The chip has `array.macros` macros of `array.columns` columns. MVM m of site i needs T row tiles of W columns each
(W = planes x outputs); every tile takes ceil(W / columns) whole macros, in turn, beginning at macro 3i + m. When all
macros are taken the plan wraps around: later tiles share macros with earlier ones in time, and so share their errors.
Spare columns (`spares`) are left out, but for those that take the place of a dead one.

Macro 0 is the measured one: measured columns carry their measured gain and offset. All others, and the columns of macro
0 that were not measured, are drawn around the mean of the die with the spread of its columns, by `chip_seed`
(`imctrain.calibration.variation`):

    gain = gain_mean + gain_std * eps        offset = offset_mean + offset_std * eps
    noise = noise_median * exp(noise_std * eps), relative to the chip's

and so are the curves by which single columns deviate from the INL, which no column has in the file.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from imctrain.calibration.variation import Population, curves_at, drawn_columns, drawn_curves, drawn_noise
from imctrain.imc.chip.adc import Converter, converter
from imctrain.imc.chip.offset_readings import reading_moments
from imctrain.imc.chip.spares import columns_in_use, macro_constants, macro_dead
from imctrain.settings import MVMS, ChipSpec, Hardware

CORRECTION, SLOW = 1, 13
"""Set the draws of corrections, and of slow noise in readings, apart from those of the errors themselves (`variation`
has other purposes)."""


@functools.cache
def macro_errors(macro: int, hardware: Hardware) -> tuple[np.ndarray, np.ndarray]:
    """gain and offset (LSB at R = 1 of the calibrated converter) of every column of one macro, float64 [columns]."""
    chip, columns = hardware.chip, hardware.array.columns
    if not hardware.noise.mismatch:
        return np.ones(columns), np.zeros(columns)
    gain, offset = drawn_columns(_population(chip), hardware.chip_seed, macro, columns)
    dead = macro_dead(macro, hardware)
    gain[dead], offset[dead] = 0.0, macro_constants(macro, hardware)[dead]
    if macro == 0:
        for error in chip.columns:
            if error.column < columns:
                gain[error.column] = error.gain
                offset[error.column] = error.offset_lsb
    return gain, offset


@functools.cache
def macro_noise(macro: int, hardware: Hardware) -> np.ndarray:
    """Noise of every column of one macro relative to the chip's, float64 [columns]."""
    columns = hardware.array.columns
    if not hardware.has_column_noise:
        return np.ones(columns)
    noise = drawn_noise(_population(hardware.chip), hardware.chip_seed, macro, columns)
    for error in hardware.chip.columns if macro == 0 else ():
        if error.column < columns:
            noise[error.column] = error.noise
    return noise


@functools.cache
def macro_curves(macro: int, hardware: Hardware) -> np.ndarray:
    """What the INL of every column of one macro deviates from that of all: LSB of each shape (`chip.curves`), float64
    [columns, 3]."""
    return drawn_curves(_population(hardware.chip), hardware.chip_seed, macro, hardware.array.columns)


def _population(chip: ChipSpec) -> Population:
    return Population(
        chip.gain_mean,
        chip.gain_std,
        chip.offset_mean_lsb,
        chip.offset_std_lsb,
        chip.noise_median,
        chip.noise_std,
        chip.column_draw,
        chip.inl_column_rms_lsb,
    )


@functools.cache
def macro_corrections(macro: int, hardware: Hardware) -> np.ndarray:
    """What the digital side subtracts from every column of one macro, LSB at R = 1 of the calibrated converter,
    float64 [columns].

    The mean of `adc.offset_conversions` readings at zero input and range `adc.offset_range` by the converter in use:
    a column's offset, and its INL there times its gain, as far as such readings tell them (`offset_readings`). Each
    column keeps its draw, which is Gaussian with the exact mean and variance of the readings' mean. Slow noise is the
    same in all readings of a column, so that no number of them averages it; common noise is the same in all columns of
    a macro.
    """
    reference_lsb, count = hardware.chip.reference_lsb, hardware.adc.offset_conversions
    if count == 0:
        return np.zeros(hardware.array.columns)
    found = macro_readings(macro, 0.0, hardware.adc.offset_range, hardware)
    draw = hardware.chip.column_draw
    rng = np.random.default_rng([hardware.chip_seed, macro, CORRECTION, *([draw] if draw else [])])
    readings = found.mean + np.sqrt(found.variance / count) * rng.standard_normal(hardware.array.columns)
    if hardware.has_common_noise:
        readings = readings + found.common / math.sqrt(count) * rng.standard_normal()
    return readings * (found.lsb / reference_lsb)


class Readings(NamedTuple):
    """Of the columns of one macro at one input, in LSB of the range.

    Attributes:
        mean: of one reading, the slow noise of all of them included, [columns]. variance: of what each reading draws
            for itself, [columns]. common: standard deviation of what all columns share in one, [columns] or 0.
        lsb: a fraction of full scale.
    """

    mean: np.ndarray
    variance: np.ndarray
    common: float | np.ndarray
    lsb: float


def macro_readings(macro: int, v: float, reference: float, hardware: Hardware) -> Readings:
    """What the converter in use reads of every column of one macro, again and again.

    Args:
        v: input, a fraction of full scale. reference: R.
    """
    chip, columns, conv = hardware.chip, hardware.array.columns, offset_converter(hardware)
    lsb = reference * conv.lsb_at_full_range
    gain, offset = macro_errors(macro, hardware)
    inl: float | np.ndarray = float(np.interp(v, *conv.inl)) if conv.inl[0] else 0.0
    if hardware.has_curves:
        inl = inl + curves_at(macro_curves(macro, hardware), v, chip.lowest_v) * chip.reference_lsb
    voltage = gain * (v + inl) + offset * chip.reference_lsb
    relative = macro_noise(macro, hardware) if hardware.has_column_noise else 1.0
    if hardware.has_slow_noise:
        rng = np.random.default_rng([hardware.chip_seed, macro, SLOW, chip.column_draw, int(v != 0.0)])
        voltage = voltage + relative * hardware.sigma_slow * rng.standard_normal(columns)
    common: float | np.ndarray = 0.0
    noise = math.hypot(conv.sigma_array / lsb, conv.sigma_adc) * relative
    if hardware.has_common_noise:
        common = relative * hardware.sigma_common / lsb
        noise = np.hypot(noise, common)
    moments = reading_moments(voltage / lsb, noise, conv.lowest, conv.highest, conv.thresholds)
    own = moments.variance - np.square(common) if hardware.has_common_noise else moments.variance
    return Readings(moments.mean, np.maximum(own, 0.0), common, lsb)


def offset_converter(hardware: Hardware) -> Converter:
    """The converter that offsets are read with: the MVMs' own, bipolar unless the hardware has no bipolar one.

    Offsets have either sign, and a unipolar converter clips at zero (this project's decision).
    """
    return converter(hardware, non_negative=False)


def first_macro(site_index: int, mvm: str) -> int:
    """The macro on which an MVM's first tile begins, before wrapping."""
    return 3 * site_index + MVMS.index(mvm)


def has_pattern(hardware: Hardware) -> bool:
    """Whether columns differ from ideal ones, or readings at zero input learn something of them (an INL there)."""
    curved = hardware.has_inl or hardware.has_curves
    return hardware.has_mismatch or (curved and hardware.adc.offset_conversions > 0)


def macros_of(site_index: int, mvm: str, tiles: int, width: int, hardware: Hardware) -> np.ndarray:
    """Macros that hold the columns of each tile, in order, int [T, macros of a tile]."""
    blocks = -(-width // hardware.array.usable_columns)
    first = first_macro(site_index, mvm) + np.arange(tiles)[:, None] * blocks
    return (first + np.arange(blocks)) % hardware.array.macros


def column_errors(
    site_index: int, mvm: str, tiles: int, width: int, hardware: Hardware
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """gain, offset and digital correction (fractions of full scale) of each tile's columns, float32 [T, W].

    None without mismatch.
    """
    if not has_pattern(hardware):
        return None
    gains, offsets, corrections = [], [], []
    for macros in macros_of(site_index, mvm, tiles, width, hardware).tolist():
        parts = [macro_errors(macro, hardware) for macro in macros]
        corrections.append(side_by_side([macro_corrections(macro, hardware) for macro in macros], macros, hardware))
        gains.append(side_by_side([gain for gain, _ in parts], macros, hardware))
        offsets.append(side_by_side([offset for _, offset in parts], macros, hardware))
    gains, offsets, corrections = ([row[:width] for row in rows] for rows in (gains, offsets, corrections))
    lsb = hardware.chip.reference_lsb

    def fraction(values: list[np.ndarray]) -> np.ndarray:
        return (np.stack(values) * lsb).astype(np.float32)

    return np.stack(gains).astype(np.float32), fraction(offsets), fraction(corrections)


def column_curves(
    site_index: int, mvm: str, tiles: int, width: int, hardware: Hardware
) -> tuple[np.ndarray, ...] | None:
    """What the INL of each tile's columns deviates from that of all (fractions of full scale), a float32 [T, W] for
    each shape; None where it does not."""
    if not hardware.has_curves:
        return None
    macros = macros_of(site_index, mvm, tiles, width, hardware).tolist()
    rows = [side_by_side([macro_curves(macro, hardware) for macro in each], each, hardware)[:width] for each in macros]
    curves = (np.stack(rows) * hardware.chip.reference_lsb).astype(np.float32)
    return tuple(curves[..., shape] for shape in range(curves.shape[-1]))


def column_noise(site_index: int, mvm: str, tiles: int, width: int, hardware: Hardware) -> np.ndarray | None:
    """Noise of each tile's columns relative to the chip's, float32 [T, W]; None where all are alike."""
    if not hardware.has_column_noise:
        return None
    macros = macros_of(site_index, mvm, tiles, width, hardware).tolist()
    rows = [side_by_side([macro_noise(macro, hardware) for macro in each], each, hardware)[:width] for each in macros]
    return np.stack(rows).astype(np.float32)


def side_by_side(values: list[np.ndarray], macros: list[int], hardware: Hardware) -> np.ndarray:
    """A figure of all physical columns of several macros as operands meet it: of the columns in use, in order."""
    found = [value[columns_in_use(macro, hardware)] for value, macro in zip(values, macros, strict=True)]
    return np.concatenate(found)

"""What the schema cannot say of a calibration: figures that no chip has, and figures that contradict each other.

Whatever reads a calibration file asks here, so that training refuses what `imctrain calibrate --check` refuses. Bounds
are those of `imctrain.limits`; hardware that is built in Python has the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from imctrain import limits
from imctrain.calibration.schema.base import Interval, in_interval
from imctrain.calibration.schema.calibration import Calibration
from imctrain.errors import UserError
from imctrain.limits import Bounds

TOLERANCE = 0.05
COLUMN_INTERVALS = {"gain": "gain_ci", "offset_lsb": "offset_ci_lsb", "sigma_lsb": "sigma_ci_lsb"}
_IN_LSB = "figures are in LSB of the calibrated converter at R = 1"
_GAIN = "1 is the nominal gain, code / (v * 2**(bits - 1)) of a bipolar converter"


def inconsistencies(c: Calibration) -> list[str]:
    """What is wrong with a calibration, each in one line: key, what was found, what is allowed, the way out."""
    outside = [
        f"{key} = {value:g} is not possible: allowed is {bounds}; {hint}"
        for key, value, bounds, hint in _bounded(c)
        if not bounds.hold(value)
    ]
    return outside + _outside_intervals(c) + _contradictions(c)


def refuse_inconsistent(calibration: Calibration, where: str) -> None:
    """Raises UserError, naming `where`, for figures that no chip has or that contradict each other."""
    wrong = inconsistencies(calibration)
    if wrong:
        more = "" if len(wrong) == 1 else f" (and {len(wrong) - 1} more)"
        raise UserError(f"{where}: {wrong[0]}{more}")


def _bounded(c: Calibration) -> Iterator[tuple[str, float, Bounds, str]]:
    """(key, value, bounds, hint) of every figure with physical bounds."""
    bits = c.adc.bits
    noise, offset = limits.noise_lsb(bits), limits.offset_lsb(bits)
    offset_std = limits.offset_std_lsb(bits)
    for name in ("sigma_lsb", "sigma_array_lsb", "sigma_adc_lsb", "sigma_slow_lsb", "sigma_common_lsb"):
        estimate = getattr(c.noise, name)
        if estimate is not None:
            yield f"noise.{name}", estimate.value, noise, _IN_LSB
    for index, column in enumerate(c.columns):
        where = f"columns.{index} (column {column.column})"
        wrong = "the column's code falls as its input rises: correct the sign of one of them, or leave the column out"
        yield f"{where}.gain", column.gain, limits.GAIN, wrong if column.gain < 0 else f"0 is a dead column, {_GAIN}"
        yield f"{where}.offset_lsb", column.offset_lsb, offset, _IN_LSB
        yield f"{where}.sigma_lsb", column.sigma_lsb, noise, _IN_LSB
    yield "spread.gain_std", c.spread.gain_std, limits.GAIN_STD, "it is a fraction of the nominal gain, not per cent"
    yield "spread.offset_std_lsb", c.spread.offset_std_lsb, offset_std, _IN_LSB
    for index, (v, value) in enumerate(zip(c.inl.v, c.inl.lsb, strict=True)):
        span = f"knots are inputs of a {c.adc.polarity} converter, fractions of full scale"
        yield f"inl.v.{index}", v, limits.inl_v(c.adc.polarity), span
        yield f"inl.lsb.{index}", value, limits.inl_lsb(bits), f"{_IN_LSB}: is it in LSB?"
    if c.inl.column_rms_lsb is not None:
        yield "inl.column_rms_lsb", c.inl.column_rms_lsb.value, limits.inl_rms_lsb(bits), _IN_LSB
    for index, die in enumerate(c.dies or ()):
        where = f"dies.{index} (die {die.die})"
        yield f"{where}.gain_mean", die.gain_mean, limits.MEAN_GAIN, _GAIN
        yield f"{where}.gain_std", die.gain_std, limits.GAIN_STD, _GAIN
        yield f"{where}.offset_mean_lsb", die.offset_mean_lsb, offset, _IN_LSB
        yield f"{where}.offset_std_lsb", die.offset_std_lsb, offset_std, _IN_LSB
        yield f"{where}.sigma_lsb", die.sigma_lsb.value, noise, _IN_LSB
    if c.die_spread is not None:
        yield "die_spread.gain_std", c.die_spread.gain_std, limits.GAIN_STD, _GAIN
        yield "die_spread.offset_std_lsb", c.die_spread.offset_std_lsb, offset_std, _IN_LSB
        yield "die_spread.sigma_std_lsb", c.die_spread.sigma_std_lsb, noise, _IN_LSB


def _outside_intervals(c: Calibration) -> list[str]:
    """Figures that lie outside of the interval that the file gives for them."""
    told: list[tuple[str, float, Interval | None, str]] = []
    for index, column in enumerate(c.columns):
        for name, interval in COLUMN_INTERVALS.items():
            where = f"columns.{index} (column {column.column})"
            told.append((f"{where}.{name}", getattr(column, name), getattr(column, interval), interval))
    for index, die in enumerate(c.dies or ()):
        where = f"dies.{index} (die {die.die})"
        told.append((f"{where}.gain_mean", die.gain_mean, die.gain_mean_ci, "gain_mean_ci"))
        told.append((f"{where}.offset_mean_lsb", die.offset_mean_lsb, die.offset_mean_ci_lsb, "offset_mean_ci_lsb"))
    return [
        f"{key} = {value:g} lies outside of its interval {interval}, {bounds[0]:g} to {bounds[1]:g}: correct one"
        for key, value, bounds, interval in told
        if bounds is not None and not in_interval(value, bounds)
    ]


def _contradictions(c: Calibration) -> list[str]:
    lowest = -(2 ** (c.adc.bits - 1)) if c.adc.polarity == "bipolar" else 0
    if c.dnl is not None and not lowest <= c.dnl.first_code <= lowest + 2**c.adc.bits - len(c.dnl.width):
        last = c.dnl.first_code + len(c.dnl.width) - 1
        return [
            f"dnl: width lists codes {c.dnl.first_code} to {last}: codes of a {c.adc.polarity} converter of "
            f"{c.adc.bits} bits are {lowest} to {lowest + 2**c.adc.bits - 1}"
        ]
    noise = c.noise
    shared = math.hypot(*noise.shared)
    if not limits.is_part_of_noise(shared, noise.sigma_lsb.value):
        return [
            f"noise: sigma_slow_lsb and sigma_common_lsb make {shared:.3g} LSB, sigma_lsb is "
            f"{noise.sigma_lsb.value:.3g}: they are parts of the total: correct one of the three"
        ]
    if (noise.sigma_array_lsb is None) != (noise.sigma_adc_lsb is None):
        return ["noise: one of sigma_array_lsb and sigma_adc_lsb is null: give both, or neither"]
    if noise.sigma_array_lsb is None or noise.sigma_adc_lsb is None:
        return []
    total = math.hypot(noise.sigma_array_lsb.value, noise.sigma_adc_lsb.value)
    if abs(total - noise.sigma_lsb.value) <= TOLERANCE * max(total, noise.sigma_lsb.value) + 0.01:
        return []
    return [
        f"noise: sigma_array_lsb and sigma_adc_lsb make {total:.3g} LSB, sigma_lsb is {noise.sigma_lsb.value:.3g}: the "
        "total is the root of the sum of their squares: correct one of the three"
    ]

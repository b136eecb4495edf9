"""Faults that a virtual chip can be given, for tests and demonstrations.

The formulas are those that the calibration's findings have: thresholds as in `schema/dnl.py`, bits of the offset-binary
code (the code less the lowest), ramps with t from -1/2 to 1/2 over the rows, hysteresis half a step up or down with the
direction in which the column's input changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.options import require
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.calibration.schema import Dnl
from imctrain.calibration.schema.dnl import all_thresholds
from imctrain.calibration.virtual_chip.shared_noise import held_draws, pass_draws


@dataclass(frozen=True)
class ConverterFaults:
    """What the converter does wrong; all off by default.

    Attributes:
        dnl: widths of codes. truncates: floor in place of rounding to the nearest code.
        stuck: (bit, value). swapped: two bits. inverted: a bit.
        hysteresis_lsb: codes are this much higher where the input rises than where it falls, LSB at R = 1.
        offset_ramp_lsb, gain_ramp: change over the rows; LSB at R = 1, relative.
        slow_lsb: noise of each column that holds for `slow_passes` of its conversions, LSB at R = 1. With
            `slow_octaves` above 1 it is a sum of so many equal parts, each held four times as long as the one before,
            which is close to 1/f. It comes on top of the calibration's noise.
        common_lsb: noise that all columns of a pass share, LSB at R = 1, on top too.
    """

    dnl: Dnl | None = None
    truncates: bool = False
    stuck: tuple[int, int] | None = None
    swapped: tuple[int, int] | None = None
    inverted: int | None = None
    hysteresis_lsb: float = 0.0
    offset_ramp_lsb: float = 0.0
    gain_ramp: float = 0.0
    slow_lsb: float = 0.0
    slow_passes: int = 1
    slow_octaves: int = 1
    common_lsb: float = 0.0

    def __post_init__(self) -> None:
        require(self.slow_passes >= 1, "slow_passes", self.slow_passes, "1 or more")
        require(1 <= self.slow_octaves <= 12, "slow_octaves", self.slow_octaves, "1 to 12")
        require(min(self.slow_lsb, self.common_lsb) >= 0, "noise", min(self.slow_lsb, self.common_lsb), "0 or more")

    def shifts(self, seed: int, start: int, share: Floats, unit: Ints, units: int, v: Floats) -> tuple[Floats, Floats]:
        """What comes to gain (a factor) and offset (LSB at R = 1) of the rows from `start`, [rows] each.

        Args:
            seed: of the chip. share: place of each row in the measurement, 0 to 1.
            unit: die and column in one number, below `units`. v: input.
        """
        t = share - 0.5
        gain, offset = 1.0 + self.gain_ramp * t, self.offset_ramp_lsb * t
        if self.hysteresis_lsb:
            offset = offset + 0.5 * self.hysteresis_lsb * _directions(unit, v)
        number = (start + np.arange(unit.size)) // units
        if self.slow_lsb:
            part = self.slow_lsb / np.sqrt(self.slow_octaves)
            for octave in range(self.slow_octaves):
                held = number // (self.slow_passes * 4**octave)
                offset = offset + part * held_draws([seed, 77, octave], held, unit, units)
        if self.common_lsb:
            offset = offset + self.common_lsb * pass_draws([seed, 78], number)
        return gain, offset

    def convert(self, voltage: Floats, setup: MeasurementSetup, dnl: Dnl | None = None) -> Ints:
        """Codes of voltages in codes, clipped.

        Args:
            dnl: of the chip, where the faults have none.
        """
        dnl = self.dnl or dnl
        if dnl is not None:
            edges = all_thresholds(dnl.first_code, dnl.thresholds, setup.lowest, setup.highest)
            code = np.searchsorted(edges, voltage, side="right") + setup.lowest
        else:
            code = np.floor(voltage) if self.truncates else np.round(voltage)
        pattern = np.clip(code, setup.lowest, setup.highest).astype(np.int64) - setup.lowest
        if self.swapped is not None:
            a, b = self.swapped
            differ = (pattern >> a ^ pattern >> b) & 1
            pattern = pattern ^ (differ << a | differ << b)
        if self.inverted is not None:
            pattern = pattern ^ (1 << self.inverted)
        if self.stuck is not None:
            bit, value = self.stuck
            pattern = pattern | (1 << bit) if value else pattern & ~(1 << bit)
        return pattern + setup.lowest


def _directions(unit: Ints, v: Floats) -> Floats:
    """+1 where an input is above its column's before, -1 below; repeated inputs keep theirs, the first has 0."""
    order = np.argsort(unit, kind="stable")
    same = unit[order[1:]] == unit[order[:-1]]
    step = np.sign(v[order[1:]] - v[order[:-1]]) * same
    at = np.maximum.accumulate(np.where((step != 0) | ~same, np.arange(step.size), 0))
    found = np.zeros(unit.size)
    found[order[1:]] = step[at] if step.size else step
    return found

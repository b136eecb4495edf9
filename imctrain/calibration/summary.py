"""The figures of a calibration as words, for the terminal, the datasheet and comparisons."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imctrain.calibration.means import column_mean
from imctrain.calibration.schema import Calibration, Column, Dependence, Estimate, Interval, SignedEstimate


@dataclass(frozen=True)
class Figure:
    """One figure: a label, a value and, where known, its interval; value None where the measurements do not tell it."""

    label: str
    unit: str
    value: float | None
    bounds: Interval | None = None
    digits: int = 3

    @property
    def text(self) -> str:
        """Such as "0.502 LSB"."""
        return "not known" if self.value is None else f"{self._number(self.value)} {self.unit}".strip()

    @property
    def interval(self) -> str:
        """Such as "0.499 to 0.505"; "" where there is none."""
        if self.bounds is None or self.bounds[0] == self.bounds[1]:
            return ""
        return f"{self._number(self.bounds[0])} to {self._number(self.bounds[1])}"

    def _number(self, value: float) -> str:
        digits = self.digits
        if self.bounds is not None and 0 < self.bounds[1] - self.bounds[0] < 10.0**-digits:
            # As many decimals as tell the bounds apart.
            digits = min(6, math.ceil(-math.log10(self.bounds[1] - self.bounds[0])))
        return f"{value:.{digits}f}" if abs(value) >= 10.0**-digits or value == 0 else f"{value:.1e}"

    def differs_from(self, other: Figure) -> bool | None:
        """Whether the two intervals lie apart; None where one has none."""
        if self.bounds is None or other.bounds is None or (self.interval == "" and other.interval == ""):
            return None
        return self.bounds[0] > other.bounds[1] or other.bounds[0] > self.bounds[1]


def figures(c: Calibration) -> list[Figure]:
    """The figures that every calibration has, in the order of a datasheet."""
    found = [
        _estimate("noise before rounding, total", c.noise.sigma_lsb),
        _estimate("  before the reference range", c.noise.sigma_array_lsb),
        _estimate("  in the converter", c.noise.sigma_adc_lsb),
    ]
    if c.columns:
        mean = column_mean(c)
        found.append(Figure("gain, mean of columns", "", mean.gain, digits=4))
        found.append(Figure("offset, mean of columns", "LSB", mean.offset_lsb))
    gain, spread = c.spread.gain_std_ci, c.spread
    percent = None if gain is None else (100.0 * gain[0], 100.0 * gain[1])
    found.append(Figure("gain, spread of columns", "%", 100.0 * spread.gain_std, percent))
    found.append(Figure("offset, spread of columns", "LSB", spread.offset_std_lsb, spread.offset_std_ci_lsb))
    found.append(Figure("INL, largest", "LSB", max((abs(x) for x in c.inl.lsb), default=0.0)))
    if c.inl.column_rms_lsb is not None:
        found.append(_estimate("INL of single columns, rms", c.inl.column_rms_lsb))
    found.append(Figure("kurtosis of the noise", "", c.fit.residual_kurtosis, c.fit.residual_kurtosis_ci, digits=2))
    for name, unit, dependence in (("temperature", "K", c.temperature), ("supply", "V", c.supply)):
        if dependence is not None:
            found += _dependence(name, unit, dependence)
    if c.die_spread is not None:
        dies = c.die_spread
        percent = None if dies.gain_std_ci is None else (100.0 * dies.gain_std_ci[0], 100.0 * dies.gain_std_ci[1])
        found.append(Figure("gain, spread of dies", "%", 100.0 * dies.gain_std, percent))
        found.append(Figure("offset, spread of dies", "LSB", dies.offset_std_lsb, dies.offset_std_ci_lsb))
    return found


def alive_columns(c: Calibration) -> list[Column]:
    """Measured columns that follow their input."""
    dead = set(c.fit.dead_columns or ())
    return [column for column in c.columns if column.column not in dead]


def _estimate(label: str, estimate: Estimate | None) -> Figure:
    if estimate is None:
        return Figure(label, "LSB", None)
    return Figure(label, "LSB", estimate.value, (estimate.low, estimate.high))


def _dependence(name: str, unit: str, d: Dependence) -> list[Figure]:
    def scaled(label: str, unit: str, x: SignedEstimate, factor: float) -> Figure:
        return Figure(label, unit, factor * x.value, (factor * x.low, factor * x.high), digits=4)

    return [
        scaled(f"gain against {name}", f"%/{unit}", d.gain_per_unit, 100.0),
        scaled(f"offset against {name}", f"LSB/{unit}", d.offset_lsb_per_unit, 1.0),
        scaled(f"noise against {name}", f"%/{unit}", d.sigma_per_unit, 100.0),
    ]


def origin(c: Calibration) -> str:
    """Where a calibration comes from, in one line."""
    if c.source is not None:
        return f"{c.provenance}: {c.source.rows:,} conversions in {c.source.file}, {c.source.date}"
    return f"{c.provenance}, not measured" if c.provenance == "assumed" else c.provenance


def geometry(c: Calibration) -> str:
    """Array and converter in one line."""
    array, adc = c.array, c.adc
    return (
        f"{array.rows} rows x {array.columns} column{'s' if array.columns > 1 else ''}, "
        f"{array.input_bits}-b inputs, {array.cell.upper()} cells; "
        f"{adc.bits}-b {adc.polarity} ADC"
    )

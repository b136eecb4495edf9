"""Conversions of known chips, drawn from the formulas and nothing else of the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from imctrain.calibration import Calibration
from imctrain.calibration.calibrate import Request, calibrate_file
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.calibration.sections.evidence import Evidence

FULL_SCALE = 1152 * 16


@dataclass
class Chip:
    """A chip whose figures are known.

    Attributes:
        array, adc: noise before the range and in the converter, LSB. inl: height of a sine over v.
        curves: rms of a curve that each column has of its own. tails: degrees of freedom of Student's t, or Gaussian.
    """

    columns: int = 16
    array: float = 0.5
    adc: float = 0.0
    bits: int = 8
    unipolar: bool = False
    gain_std: float = 0.01
    offset_std: float = 0.7
    inl: float = 0.0
    curves: float = 0.0
    tails: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        rng = np.random.default_rng([self.seed, 99])
        self.gain = 1 + self.gain_std * rng.standard_normal(self.columns)
        self.offset = self.offset_std * rng.standard_normal(self.columns)
        self.phase = rng.uniform(0, 2 * np.pi, self.columns)

    @property
    def codes_per_v(self) -> int:
        return 2 ** (self.bits - (0 if self.unipolar else 1))

    def inl_at(self, v):
        return self.inl * np.sin(np.pi * v)

    def measure(self, rows, *, ranges=(1.0,), levels=None, bad=0.0, change=None, seed=0):
        """Conversions, one a row; `change(rng, rows)` gives (extra columns, gain factor, offset, noise factor)."""
        rng = np.random.default_rng([self.seed, seed])
        column = rng.integers(0, self.columns, rows)
        reference = rng.choice(ranges, rows)
        low = 0.0 if self.unipolar else -1.0
        share = rng.uniform(low, 1, rows) if levels is None else rng.choice(np.linspace(low, 1, levels), rows)
        v = np.round(share * reference * FULL_SCALE) / FULL_SCALE
        extra, gain, offset, noise = change(rng, rows) if change else ({}, 1.0, 0.0, 1.0)
        own = self.curves * np.sqrt(2) * np.sin(4 * np.pi * v + self.phase[column])
        volts = gain * self.gain[column] * (v * self.codes_per_v + self.inl_at(v) + own)
        volts = volts + self.offset[column] + offset
        unit = rng.standard_normal if self.tails is None else (lambda n: rng.standard_t(self.tails, n))
        volts = volts + noise * self.array * unit(rows)
        lowest = 0 if self.unipolar else -(2 ** (self.bits - 1))
        code = np.round(volts / reference + noise * self.adc * rng.standard_normal(rows))
        code = np.clip(code, lowest, lowest + 2**self.bits - 1)
        wrong = rng.random(rows) < bad
        code[wrong] = rng.integers(lowest, lowest + 2**self.bits, wrong.sum())
        table = {"column": column, "ideal": v, "code": code.astype(int)} | extra
        return pl.DataFrame(table | ({"range": reference} if ranges != (1.0,) else {}))

    @property
    def setup(self) -> MeasurementSetup:
        polarity = "unipolar" if self.unipolar else "bipolar"
        return MeasurementSetup(self.bits, polarity, rows=1152, levels=16, columns=self.columns)


def calibrated(
    folder: Path, table: pl.DataFrame, setup: MeasurementSetup, **request: object
) -> tuple[Calibration, Evidence]:
    """The calibration of a table, through a file."""
    path = folder / "measured.parquet"
    table.write_parquet(path)
    return calibrate_file(path, setup, Request(name="chip", **request))

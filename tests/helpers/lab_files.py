"""Files of conversions as instruments and people write them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from imctrain.calibration.reading.conversions import Conversions
from imctrain.calibration.reading.how import AS_THE_FILE_SAYS
from imctrain.calibration.reading.setup import MeasurementSetup

Row = tuple[int, str, int]
"""Column, input with six decimals, code."""


def conversions_of(rows: int = 60, columns: int = 8, seed: int = 0, zero: bool = True) -> list[Row]:
    """Of an 8-bit bipolar chip; `zero`: column 0 is among them."""
    rng = np.random.default_rng([seed, 17])
    v = np.round(rng.uniform(-1, 1, rows), 6)
    code = np.clip(np.round(128 * v + 0.5 * rng.standard_normal(rows)), -128, 127)
    column = rng.integers(0 if zero else 1, columns, rows)
    column[0], column[1] = (0 if zero else 1), columns - 1
    return [(int(n), f"{x:.6f}", int(c)) for n, x, c in zip(column, v, code, strict=True)]


def text_of(rows: list[Row], header: str = "column,ideal,code", separator: str = ",", end: str = "\n") -> str:
    """A plain CSV."""
    lines = [header.replace(",", separator), *(separator.join(map(str, row)) for row in rows)]
    return end.join(lines) + end


def values_of(rows: list[Row]) -> list[tuple[int, float, int]]:
    """What a reader must give."""
    return [(column, float(ideal), code) for column, ideal, code in rows]


def read(path: Path, setup: MeasurementSetup | None = None, **how: object) -> tuple[list[tuple], Conversions]:
    """(column, v, code) of every conversion, in order, and what was read with."""
    conversions = Conversions(path, setup or MeasurementSetup(), how=replace(AS_THE_FILE_SAYS, **how))
    frames = list(conversions.batches())
    return pl.concat(frames).select("column", "v", "code").rows(), conversions

"""Which listed columns are alive, which stand for all, and the mean that unmeasured columns and dies are drawn around.

The mean is the plain one over the columns that the spread is of (`sections.columns.spread_of`): neither dead columns
nor those unlike the others. It is not weighted by a column's conversions: what a column is off the mean of its chip is
commonly far more than what its estimate is uncertain by, so that every column tells equally much of the others. Were it
the other way round, the plain mean would still be unbiased.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imctrain.calibration.schema.calibration import Calibration
from imctrain.calibration.schema.fixed_pattern import Column


class Mean(NamedTuple):
    """gain (1 nominal) and offset in LSB at R = 1."""

    gain: float
    offset_lsb: float


def alive_columns(c: Calibration) -> list[Column]:
    """Measured columns that follow their input."""
    dead = set(c.fit.dead_columns or ())
    return [column for column in c.columns if column.column not in dead]


def typical_columns(c: Calibration) -> list[Column]:
    """Measured columns that stand for those that were not: neither dead nor outliers, gain above 0."""
    apart = {*(c.fit.dead_columns or ()), *(c.fit.outlier_columns or ())}
    return [column for column in c.columns if column.column not in apart and column.gain > 0]


def column_mean(c: Calibration) -> Mean:
    """Of the die whose columns the file lists; that of its dies where it lists none, nominal without either."""
    columns = typical_columns(c)
    if not columns:
        return die_mean(c)
    return Mean(
        float(np.mean([column.gain for column in columns])), float(np.mean([column.offset_lsb for column in columns]))
    )


def die_mean(c: Calibration) -> Mean:
    """Of the dies' means, around which `die_spread` draws other dies; nominal where the file has no dies."""
    if not c.dies:
        return Mean(1.0, 0.0)
    return Mean(
        float(np.mean([die.gain_mean for die in c.dies])), float(np.mean([die.offset_mean_lsb for die in c.dies]))
    )

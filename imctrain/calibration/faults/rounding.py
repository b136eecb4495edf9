"""A converter that truncates: its codes lie half an LSB off, in all columns alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from imctrain.calibration.faults.drift import OrderEffects
from imctrain.calibration.faults.significance import FALSE_ALARM
from imctrain.calibration.fit.bootstrap import Replicates
from imctrain.calibration.fit.chip_fit import ChipFit

HALF = 0.5
FEWEST_COLUMNS = 3
NEAR = 0.05
"""LSB: a converter's own offset, common to all columns, comes on top."""


@dataclass(frozen=True)
class Truncation:
    """Half an LSB off: what the columns have in the mean, codes, its error; told by more than one range, or by one.

    truncates: towards the code below (or above, where False).
    """

    offset: float
    error: float
    by_ranges: bool
    truncates: bool


def truncation(fit: ChipFit, replicates: Replicates, effects: OrderEffects | None) -> Truncation | None:
    """With more than one range the shift is the same in codes at each; with one it is an offset like any other.

    Told where the mean over columns is off zero for sure, and half an LSB within its error.
    """
    ranges = np.unique(fit.transfer.histogram.range)
    if ranges.size > 1:
        if effects is None or not effects.codes.significant:
            return None
        found = effects.codes
        return _half(found.value, found.error, True)
    good = fit.usable & ~fit.outliers
    columns = int(good.sum())
    if columns < FEWEST_COLUMNS:
        return None
    offset = fit.parameters.offset[good] / ranges[0]
    own = float(replicates.offset[:, good].mean(axis=1).std()) / ranges[0]
    error = float(np.hypot(offset.std(ddof=1) / np.sqrt(columns), own))
    mean = float(offset.mean())
    if abs(mean) < float(student.isf(0.5 * FALSE_ALARM, columns - 1)) * error:
        return None
    return _half(mean, error, False)


def _half(value: float, error: float, by_ranges: bool) -> Truncation | None:
    if abs(abs(value) - HALF) > NEAR + 2 * error:
        return None
    return Truncation(value, error, by_ranges, value < 0)

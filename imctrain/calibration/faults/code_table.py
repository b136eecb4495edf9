"""Counts of codes against the fitted mean, pooled over columns: all that thresholds of the converter are told by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from imctrain.calibration.arrays import Flags, Floats, Ints
from imctrain.calibration.fit.chip_fit import ChipFit
from imctrain.calibration.fit.column_curves import ColumnCurves

STEPS_PER_SIGMA, MOST_STEPS, FEWEST_STEPS = 16, 64, 0.5
"""How finely means are told apart: steps a code."""
REACH_SIGMAS, REACH_CODES = 6.0, 5
SIGMA_CLASS = 0.1
"""Columns whose noise is equal within this share are taken together."""
FAR = 40.0


@dataclass(frozen=True)
class CodeTable:
    """Points are means before rounding, closer than the noise can tell apart.

    Attributes:
        mean, sigma: of each point, codes, [P]. rows: conversions there, [P].
        first: the lowest code of each point's window, counted from the converter's lowest, [P].
        seen: conversions by point and code of the window, [P, W].
        codes: of the converter. bad: fraction of rows of any code.
    """

    mean: Floats
    sigma: Floats
    rows: Floats
    first: Ints
    seen: Floats
    codes: int
    bad: float
    lowest: int

    def per_code(self, values: Floats) -> Floats:
        """Sums of [P, W] over points, [codes]."""
        at = self.first[:, None] + np.arange(self.seen.shape[1])
        inside = (at >= 0) & (at < self.codes)
        return np.bincount(at[inside], values[inside], self.codes).astype(np.float64)

    def edges(self, shift: Floats, widen: float) -> tuple[Floats, Floats]:
        """Lower and upper edge of every code in every window, in sigmas about the mean, [P, W] each.

        Args:
            shift: of every threshold from its nominal place, codes, [codes + 1]; the outer two are never met.
            widen: what sigma is multiplied with.
        """
        at = self.first[:, None] + np.arange(self.seen.shape[1] + 1)
        inside = np.clip(at, 0, self.codes)
        threshold = at + self.lowest - 0.5 + shift[inside]
        z = (threshold - self.mean[:, None]) / (widen * self.sigma[:, None])
        z = np.where(at <= 0, -FAR, np.where(at >= self.codes, FAR, np.clip(z, -FAR, FAR)))
        return z[:, :-1], z[:, 1:]


def code_table(fit: ChipFit, curves: ColumnCurves | None) -> CodeTable:
    """Of the columns that the shared figures are of; what each of them has of its own (`curves`) is in the means."""
    transfer, h = fit.transfer, fit.transfer.histogram
    setup = transfer.setup
    codes = setup.highest - setup.lowest + 1
    good: Flags = (fit.usable & ~fit.outliers)[transfer.unit]
    mean, sigma = fit.mean(), fit.noise.sigma(transfer)
    if curves is not None:
        mean = mean + curves.at(transfer.unit_of_bin, transfer.v()) * transfer.inverse_range
    # Means far outside the converter's codes only clip.
    kept = good[h.setting] & (mean > setup.lowest - 2.0) & (mean < setup.highest + 2.0)
    group = np.round(np.log(sigma) / SIGMA_CLASS).astype(np.int64)
    group -= group.min()
    steps = float(np.clip(STEPS_PER_SIGMA / max(float(np.median(sigma[good])), 1e-3), FEWEST_STEPS, MOST_STEPS))
    place = np.floor((mean - setup.lowest + 3.0) * steps).astype(np.int64)
    span = int((codes + 6) * steps) + 2
    key = np.where(kept, group[h.setting] * span + np.clip(place, 0, span - 1), -1)
    points, point = np.unique(key[kept], return_inverse=True)
    rows_of_bin = np.add.reduceat(h.count, h.first_cell)[kept]
    rows = np.bincount(point, rows_of_bin).astype(np.float64)
    at = np.bincount(point, rows_of_bin * mean[kept]) / rows
    width = np.sqrt(np.bincount(point, rows_of_bin * sigma[h.setting[kept]] ** 2) / rows)
    reach = int(np.ceil(REACH_SIGMAS * float(width.max()))) + REACH_CODES
    window = 2 * reach + 1
    first = np.round(at).astype(np.int64) - setup.lowest - reach
    point_of_bin = np.full(kept.size, -1)
    point_of_bin[kept] = point
    point_of_cell = point_of_bin[h.bin_of_cell]
    counted = point_of_cell >= 0
    point_of_cell = point_of_cell[counted]
    offset = h.code[counted] - setup.lowest - first[point_of_cell]
    near = (offset >= 0) & (offset < window)
    flat = point_of_cell[near] * window + offset[near]
    seen = np.bincount(flat, h.count[counted][near], points.size * window).reshape(points.size, window)
    return CodeTable(at, width, rows, first, seen.astype(np.float64), codes, fit.bad, setup.lowest)


def probabilities(table: CodeTable, shift: Floats, widen: float = 1.0) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """(probability of every code [P, W]; edges a, b in sigmas; densities at them, per code), rows of any code in it."""
    a, b = table.edges(shift, widen)
    width = widen * table.sigma[:, None]
    share = (1.0 - table.bad) / np.sqrt(2.0 * np.pi)
    at = table.first[:, None] + np.arange(table.seen.shape[1])
    inside = (at >= 0) & (at < table.codes)
    probability = (1.0 - table.bad) * (ndtr(b) - ndtr(a)) + table.bad / table.codes
    probability = np.where(inside, np.maximum(probability, 1e-12), np.inf)
    return probability, a, b, share * np.exp(-0.5 * a * a) / width, share * np.exp(-0.5 * b * b) / width

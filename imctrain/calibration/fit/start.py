"""A first line through every unit's codes that bad rows cannot pull away, and the columns that follow none."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.fit.transfer import Transfer

CELLS = 1_000_000
"""Cells that are looked at; more would not start better."""
ROUNDS = 15
FEWEST_ROWS = 8
FAR_NOISIER = 2.0
LEAST_GAIN = 0.2
"""Below this a column is dead."""


class Start(NamedTuple):
    """A line for every unit, [U], and the variance of codes about it for every R.

    gain, offset (LSB at R = 1). dead: the codes do not follow the input. unmeasured: too few rows, or of one input.
    noise: of units that are far noisier than the others, how much; 1 for all others.
    """

    gain: Floats
    offset: Floats
    dead: NDArray[np.bool_]
    unmeasured: NDArray[np.bool_]
    noise: Floats
    variance_of_range: dict[float, float]


def starting_lines(transfer: Transfer) -> Start:
    """Least absolute deviations by reweighting, unit by unit, on codes that are not clipped."""
    h, setup, units = transfer.histogram, transfer.setup, transfer.units
    stride = max(1, h.code.size // CELLS)
    bins = h.bin_of_cell[::stride]
    code, count = h.code[::stride].astype(np.float64), h.count[::stride]
    inside = (code > setup.lowest) & (code < setup.highest)
    bins, code, count = bins[inside], code[inside], count[inside]
    x, z, unit = h.u[bins], transfer.inverse_range[bins], transfer.unit_of_bin[bins]

    def total(values: Floats) -> Floats:
        return np.bincount(unit, values, units).astype(np.float64)

    rows = total(count)
    enough = rows >= FEWEST_ROWS
    gain, offset = np.ones(units), np.zeros(units)
    weight = count
    for _ in range(ROUNDS):
        xx, xz, zz = total(weight * x * x), total(weight * x * z), total(weight * z * z)
        xy, zy = total(weight * x * code), total(weight * z * code)
        determinant = xx * zz - xz**2
        enough &= determinant > 1e-9 * np.maximum(xx * zz, 1e-30)
        safe = np.where(enough, determinant, 1.0)
        gain = np.where(enough, (zz * xy - xz * zy) / safe, 1.0)
        offset = np.where(enough, (xx * zy - xz * xy) / safe, 0.0)
        residual = code - gain[unit] * x - offset[unit] * z
        weight = count / np.maximum(np.abs(residual), 0.25)
    every = np.bincount(transfer.unit_of_bin, np.add.reduceat(h.count, h.first_cell), units)
    dead = (every >= FEWEST_ROWS) & ((enough & (np.abs(gain) < LEAST_GAIN)) | (rows < 0.2 * every / stride))
    unmeasured = ~enough & ~dead
    alive = ~dead & ~unmeasured
    ranges = h.range[h.setting[bins]]
    variances = {}
    for value in np.unique(ranges):
        chosen = (ranges == value) & alive[unit]
        variances[float(value)] = _robust_variance(residual[chosen], count[chosen])
    typical = _medians(np.abs(residual), count, unit, units)
    noise = typical / max(float(np.median(typical[alive])) if alive.any() else 1.0, 0.25)
    # Residuals of a code or less may be rounding alone.
    far = alive & (noise > FAR_NOISIER) & (typical > 1.0)
    return Start(gain, offset, dead, unmeasured, np.where(far, noise, 1.0), variances)


def _medians(values: Floats, count: Floats, unit: Ints, units: int) -> Floats:
    """Weighted median of each unit, [U]; 0 for units without values."""
    if values.size == 0:
        return np.zeros(units)
    order = np.lexsort((values, unit))
    below = np.cumsum(count[order])
    first = np.searchsorted(unit[order], np.arange(units), side="left")
    last = np.searchsorted(unit[order], np.arange(units), side="right")
    start, stop = np.append(0.0, below)[first], np.append(0.0, below)[last]
    at = np.searchsorted(below, 0.5 * (start + stop))
    return np.where(stop > start, values[order][np.minimum(at, values.size - 1)], 0.0)


def _robust_variance(residual: Floats, count: Floats) -> float:
    """From the weighted 68 % quantile of |residual|."""
    if residual.size == 0:
        return 1.0
    order = np.argsort(np.abs(residual))
    at = np.searchsorted(np.cumsum(count[order]), 0.683 * count.sum())
    return float(np.abs(residual[order[min(int(at), order.size - 1)]]) ** 2)

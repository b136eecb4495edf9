"""Noise that does not average: what a column keeps from one conversion to the next, and what columns of a pass share.

With scores s and information w of single conversions, products of two of them say how far their means moved together,

    covariance = sum s_i s_j / sum w_i w_j

over pairs of one column's successive conversions (slow), or of different columns of one pass (common). A curve of a
column that the fit does not know makes such pairs alike too, but stays: the same sum over pairs of which one is taken
from far away in time, at the nearest input, is its part, and is taken off. Where a file has no such pair (one sweep),
nothing is told.

A pass is a run of rows of one input (or one time, where the file has times), each of another column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from imctrain.calibration.arrays import Flags, Floats, Ints
from imctrain.calibration.faults.rows import Rows
from imctrain.calibration.faults.significance import FALSE_ALARM

BLOCKS = 32
FEWEST_PAIRS = 1000
FAR = 0.25
"""Share of the kept rows that lie between far conversions at least."""
NEIGHBOURS = 12
NEAREST = 1.0 / 64
"""Of the span of inputs: what is farther apart has another place on a curve."""
LEAST_MATCHED = 0.2
LATER = 16
SAME_INPUT = 1e-9
REPEATED = 0.25
"""Share of successive conversions at the same input from which on a file counts as one with repeats."""


class Part(NamedTuple):
    """A part of the noise: its variance at R = 1, LSB^2, with a standard error; pairs that told it; significant?"""

    variance: float
    error: float
    pairs: int
    significant: bool


@dataclass(frozen=True)
class SlowNoise:
    """slow, and the same `LATER` conversions of the column apart; common. None: the file cannot tell.

    dispersion: how much more sums over conversions vary than if all were independent.
    """

    slow: Part | None
    later: Part | None
    common: Part | None
    dispersion: float = 1.0


def slow_noise(rows: Rows) -> SlowNoise:
    """Of all kept rows."""
    by_unit = np.lexsort((np.arange(rows.count), rows.unit))
    far = _far(rows.unit, rows.v, np.arange(rows.count), rows.count)
    volts = rows.score * rows.inverse_range
    weight = rows.information * rows.inverse_range**2
    slow, later = (_of_pairs(rows, volts, weight, by_unit, far, lag) for lag in (1, LATER))
    common = _common(rows, volts, weight)
    total = 1.0 / max(float(np.median(weight)), 1e-12)
    alike = ((slow, 4.0), (later, float(LATER)), (common, float(np.unique(rows.unit).size)))
    dispersion = 1.0 + sum(x.variance / total * (n - 1.0) for x, n in alike if x is not None and x.significant)
    return SlowNoise(slow, later, common, dispersion)


def _far(group: Ints, v: Floats, when: Ints, span: int) -> Ints:
    """Of each item, one of its group far away in time at the nearest input; -1 where there is none."""
    order = np.lexsort((v, group))
    g, x, at = group[order], v[order], when[order]
    limit = NEAREST * max(float(np.ptp(v)), 1e-12)
    best = np.full(order.size, -1)
    distance = np.full(order.size, np.inf)
    for shift in range(1, min(NEIGHBOURS, order.size - 1) + 1):
        apart = np.abs(x[shift:] - x[:-shift])
        fits = (g[shift:] == g[:-shift]) & (np.abs(at[shift:] - at[:-shift]) >= FAR * span) & (apart <= limit)
        for own, other in ((slice(None, -shift), slice(shift, None)), (slice(shift, None), slice(None, -shift))):
            better = fits & (apart < distance[own])
            best[own] = np.where(better, order[other], best[own])
            distance[own] = np.where(better, apart, distance[own])
    found = np.full(order.size, -1)
    found[order] = best
    return found


def _of_pairs(rows: Rows, s: Floats, w: Floats, by_unit: Ints, far: Ints, lag: int) -> Part | None:
    if by_unit.size <= lag:
        return None
    i, j = by_unit[:-lag], by_unit[lag:]
    same = rows.unit[i] == rows.unit[j]
    place = np.abs(rows.row[j] - rows.row[i])
    near = same & (place <= 20 * max(float(np.median(place[same])) if same.any() else 1.0, 1.0))
    # Where inputs are repeated, the repeats alone say what repeats do not average.
    repeated = near & (np.abs(rows.v[i] - rows.v[j]) < SAME_INPUT)
    if lag == 1 and repeated.sum() > REPEATED * near.sum():
        near = repeated
    matched = near & (far[j] >= 0)
    if matched.sum() < max(FEWEST_PAIRS, LEAST_MATCHED * near.sum()):
        return None
    i, j = i[matched], j[matched]
    k = far[j]
    return _part(i, rows.count, s[i] * s[j], w[i] * w[j], s[i] * s[k], w[i] * w[k])


def _common(rows: Rows, s: Floats, w: Floats) -> Part | None:
    start = _pass_starts(rows)
    number = np.cumsum(start) - 1
    size = np.bincount(number)
    if (size >= 2).sum() < 50 or size[size >= 2].sum() < FEWEST_PAIRS:
        return None
    even = (rows.unit % 2 == 0).astype(np.float64)
    passes = size.size
    split = (s * even, s * (1 - even), w * even, w * (1 - even))
    sums = [np.bincount(number, x, passes).astype(np.float64) for x in split]
    first = np.flatnonzero(start)
    v = rows.v[first]
    far = _far(np.zeros(passes, np.int64), v, np.arange(passes), passes)
    chosen = np.flatnonzero((far >= 0) & (sums[2] > 0) & (sums[3] > 0))
    if chosen.size < max(50, LEAST_MATCHED * (size >= 2).sum()):
        return None
    other = far[chosen]
    s_even, s_odd, w_even, w_odd = sums
    return _part(
        chosen,
        passes,
        s_even[chosen] * s_odd[chosen],
        w_even[chosen] * w_odd[chosen],
        s_even[chosen] * s_odd[other],
        w_even[chosen] * w_odd[other],
    )


def _pass_starts(rows: Rows) -> Flags:
    """Whether a row is the first of its pass, [T]."""
    start = np.ones(rows.count, bool)
    if rows.time is not None and np.unique(rows.time).size < 0.7 * rows.count:
        changed = rows.time[1:] != rows.time[:-1]
    else:
        changed = np.abs(rows.v[1:] - rows.v[:-1]) > 1e-9
    changed |= rows.inverse_range[1:] != rows.inverse_range[:-1]
    if rows.repeat is not None:
        changed |= rows.repeat[1:] != rows.repeat[:-1]
    step = np.diff(rows.unit)
    # Columns are read upwards or downwards; where that turns back, another pass begins.
    upwards = (step[~changed] > 0).sum() >= (step[~changed] < 0).sum()
    start[1:] = changed | (step <= 0 if upwards else step >= 0)
    return start


def _part(at: Ints, span: int, near: Floats, near_w: Floats, far: Floats, far_w: Floats) -> Part:
    """The difference of two ratios of sums; its error leaves out one block of time after the other."""
    block = np.minimum(at * BLOCKS // max(span, 1), BLOCKS - 1)
    sums = np.stack([np.bincount(block, x, BLOCKS) for x in (near, near_w, far, far_w)])
    total = sums.sum(axis=1)
    used = np.flatnonzero(sums[1] > 0)

    def difference(x: Floats) -> Floats:
        return x[0] / np.maximum(x[1], 1e-30) - x[2] / np.maximum(x[3], 1e-30)

    value = float(difference(total))
    left_out = difference(total[:, None] - sums[:, used])
    n = used.size
    error = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())) if n > 1 else np.inf
    limit = float(student.isf(FALSE_ALARM, max(n - 1, 1)))
    return Part(value, error, at.size, bool(value > limit * error))

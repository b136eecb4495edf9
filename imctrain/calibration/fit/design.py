"""The design of a fit: units, knots and conditions, as the conversions of a file allow them."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from imctrain.calibration.arrays import Floats
from imctrain.calibration.fit.transfer import Condition, Transfer
from imctrain.calibration.reading.histogram import Histogram
from imctrain.calibration.reading.setup import MeasurementSetup

INL_INTERVALS = 32
FEWEST_LEVELS = 9
"""Distinct inputs below which no curve is fitted between them."""


def design(histogram: Histogram, setup: MeasurementSetup) -> Transfer:
    """The design of a file's conversions."""
    pairs = np.array([f"{die}\x1f{column}" for die, column in zip(histogram.die, histogram.column, strict=True)])
    _, first, unit = np.unique(pairs, return_index=True, return_inverse=True)
    # Units in the order in which dies appear, columns rising.
    die_rank = {name: rank for rank, name in enumerate(dict.fromkeys(histogram.die.tolist()))}
    ranks = np.array([die_rank[name] for name in histogram.die[first].tolist()])
    order = np.lexsort((histogram.column[first], ranks))
    rank = np.argsort(order)
    inverse_range = 1.0 / histogram.range[histogram.setting]
    v = histogram.u / (inverse_range * setup.codes_per_v)
    knots = inl_knots(histogram, setup, v)
    return Transfer(
        histogram=histogram,
        setup=setup,
        unit=rank[unit],
        die=histogram.die[first[order]],
        column=histogram.column[first[order]],
        inverse_range=inverse_range,
        unit_of_bin=rank[unit][histogram.setting],
        knots=knots,
        hats=hat_basis(v, knots),
        conditions=conditions(histogram),
        informative=np.ones(first.size),
    )


def conditions(histogram: Histogram) -> tuple[Condition, ...]:
    """Temperature and supply, where they take more than one value."""
    found = []
    rows = np.bincount(histogram.setting, np.add.reduceat(histogram.count, histogram.first_cell))
    for name, values in (("temperature", histogram.temperature), ("supply", histogram.supply)):
        if values is not None and np.ptp(values) > 0:
            reference = round(float(np.average(values, weights=rows)), 2)
            found.append(Condition(name, values - reference, reference, float(values.min()), float(values.max())))
    return tuple(found)


def inl_knots(histogram: Histogram, setup: MeasurementSetup, v: Floats) -> Floats:
    """Evenly spaced over the inputs that are not clipped; empty where too few inputs were measured.

    There are at most half as many intervals as distinct inputs.
    """
    rows = np.add.reduceat(histogram.count, histogram.first_cell)
    inside = ((histogram.code > setup.lowest) & (histogram.code < setup.highest)) * histogram.count
    usable = np.add.reduceat(inside, histogram.first_cell) > 0.5 * rows
    if not usable.any():
        return np.empty(0)
    levels = np.unique(np.round(v[usable], 4)).size
    low, high = float(v[usable].min()), float(v[usable].max())
    intervals = min(INL_INTERVALS, levels // 2)
    if levels < FEWEST_LEVELS or high - low < 0.05:
        return np.empty(0)
    return np.linspace(low, high, intervals + 1)


def hat_basis(v: Floats, knots: Floats) -> sparse.csr_array:
    """Piecewise-linear basis at the inner knots, constant (zero) outside the outer ones, [len(v), len(knots) - 2]."""
    inner = max(knots.size - 2, 0)
    if inner == 0:
        return sparse.csr_array((v.size, 0))
    at = (np.clip(v, knots[0], knots[-1]) - knots[0]) / (knots[1] - knots[0])
    left = np.minimum(at.astype(np.int64), knots.size - 2)
    right_share = at - left
    columns = np.concatenate([left - 1, left])
    values = np.concatenate([1.0 - right_share, right_share])
    rows = np.tile(np.arange(v.size), 2)
    kept = (columns >= 0) & (columns < inner) & (values != 0.0)
    return sparse.csr_array((values[kept], (rows[kept], columns[kept])), shape=(v.size, inner))

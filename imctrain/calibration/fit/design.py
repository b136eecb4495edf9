"""The design of a fit: units, knots and conditions, as the conversions of a file allow them."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy import sparse

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.fit.transfer import Condition, Transfer
from imctrain.calibration.reading.histogram import Histogram
from imctrain.calibration.reading.reducer import SUPPLY_STEP, TEMPERATURE_STEP
from imctrain.calibration.reading.setup import MeasurementSetup

INL_INTERVALS = 32
FEWEST_LEVELS = 9
"""Distinct inputs below which no curve is fitted between them."""
LEAST_SHARE = 0.01
"""Deviation of a condition on its own over its deviation in all, below which its slopes are not fitted."""
LEAST_STEPS = 0.6
"""The same in steps that conditions are held in: less may be rounding alone."""
STEADY = {"temperature": 5.0, "supply": 0.02}
"""Degrees Celsius and volts that dies may lie apart and still be compared where slopes are not known."""


class Confounded(NamedTuple):
    """Temperature or supply that was not changed on its own, so that its slopes cannot be told.

    Attributes:
        name: "temperature" or "supply". by: what was changed together with it.
        lowest, highest: degrees Celsius or volts.
        steady: dies lie so near each other in it that they can be compared (`STEADY`).
    """

    name: str
    by: Literal["die", "column", "temperature"]
    lowest: float
    highest: float
    steady: bool


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
        conditions=conditions(histogram, rank[unit])[0],
        informative=np.ones(first.size),
    )


def conditions(histogram: Histogram, unit: Ints) -> tuple[tuple[Condition, ...], tuple[Confounded, ...]]:
    """Temperature and supply, where they take more than one value: those whose slopes can be told, and the others.

    Every unit has a gain and an offset of its own. So slopes rest on what a condition changes within units, and that of
    supply on what temperature does not change with it.

    Args:
        unit: of each setting, [S].
    """
    found: list[Condition] = []
    confounded: list[Confounded] = []
    rows = np.bincount(histogram.setting, np.add.reduceat(histogram.count, histogram.first_cell)).astype(np.float64)
    die = np.unique(histogram.die, return_inverse=True)[1]
    for name, values, step in (
        ("temperature", histogram.temperature, TEMPERATURE_STEP),
        ("supply", histogram.supply, SUPPLY_STEP),
    ):
        if values is None or np.ptp(values) == 0:
            continue
        lowest, highest = float(values.min()), float(values.max())
        reference = round(float(np.average(values, weights=rows)), 2)
        about = values - reference
        within = about - _means(about, unit, rows)
        total = _deviation(about, rows)
        least = max(LEAST_SHARE * total, min(LEAST_STEPS * step, 0.5 * total))
        # What temperature explains of supply is temperature's: that was fitted first.
        of_units, of_all = within, about
        for other in found:
            known = other.about - _means(other.about, unit, rows)
            slope = float(np.average(within * known, weights=rows) / np.average(known**2, weights=rows))
            of_units, of_all = of_units - slope * known, of_all - slope * other.about
        if _deviation(of_units, rows) >= least:
            found.append(Condition(name, about, reference, lowest, highest))
            continue
        by: Literal["die", "column", "temperature"] = "temperature"
        if _deviation(within, rows) < least:
            of_dies = _deviation(about - _means(about, die, rows), rows)
            by = "die" if of_dies < least else "column"
            of_all = about
        steady = bool(np.ptp(_means(of_all, die, rows)) <= STEADY[name])
        confounded.append(Confounded(name, by, lowest, highest, steady))
    return tuple(found), tuple(confounded)


def _means(values: Floats, group: Ints, rows: Floats) -> Floats:
    """Over the conversions of each setting's group, [S]."""
    return np.asarray((np.bincount(group, rows * values) / np.bincount(group, rows))[group])


def _deviation(values: Floats, rows: Floats) -> float:
    return float(np.sqrt(np.average(values**2, weights=rows)))


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

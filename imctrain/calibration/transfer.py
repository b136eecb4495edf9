"""The mean of a conversion before rounding, in codes, and how it depends on the parameters.

    mean = gain * (u + inl(v) / R) + offset / R  +  sum over x of x * (g_x * u + o_x / R),      u = v * codes_per_v / R

gain and offset (LSB at R = 1) are those of a unit, which is one column of one die; inl (LSB at R = 1) is shared by all
units, piecewise linear in v and zero at both ends of the measured span, so that it holds no gain and no offset; x are
temperature and supply about their means, with slopes shared by all units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from imctrain.calibration.histogram import Floats, Histogram, Ints
from imctrain.calibration.setup import MeasurementSetup

INL_INTERVALS = 32
FEWEST_LEVELS = 9
"""Distinct inputs below which no curve is fitted between them."""


class Condition(NamedTuple):
    """Temperature or supply: of each setting about the reference, [S], and what it spans."""

    name: str
    about: Floats
    reference: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Parameters:
    """Of the mean. gain, offset: [U]. inl: at the inner knots, [K]. slopes: (gain, offset) of each condition, [2 X]."""

    gain: Floats
    offset: Floats
    inl: Floats
    slopes: Floats

    def moved(self, gain: Floats, offset: Floats, shared: Floats, step: float = 1.0) -> Parameters:
        """Parameters after a step; `shared` holds inl and slopes."""
        k = self.inl.size
        return Parameters(
            self.gain + step * gain,
            self.offset + step * offset,
            self.inl + step * shared[:k],
            self.slopes + step * shared[k:],
        )


@dataclass(frozen=True)
class Transfer:
    """The design: which parameters act on which bin.

    Attributes:
        histogram: the counts.
        unit: of each setting, [S]. die, column: of each unit, [U].
        inverse_range: 1/R of each bin, [G]. unit_of_bin: [G].
        knots: of the INL in v, ends included; empty without INL.
        hats: the INL's basis at each bin, [G, K] sparse.
        conditions: temperature and supply, as far as measured at more than one value.
        informative: units that count for what is shared, [U] of 0 and 1.
    """

    histogram: Histogram
    setup: MeasurementSetup
    unit: Ints
    die: np.ndarray
    column: Ints
    inverse_range: Floats
    unit_of_bin: Ints
    knots: Floats
    hats: sparse.csr_array
    conditions: tuple[Condition, ...]
    informative: Floats

    @property
    def units(self) -> int:
        return self.column.size

    def start(self) -> Parameters:
        """The nominal transfer."""
        u = self.units
        return Parameters(np.ones(u), np.zeros(u), np.zeros(self.hats.shape[1]), np.zeros(2 * len(self.conditions)))

    def inl_at_bins(self, p: Parameters) -> Floats:
        """inl(v), LSB at R = 1, [G]."""
        return self.hats @ p.inl

    def lever(self, p: Parameters) -> Floats:
        """Derivative of the mean by a unit's gain: u + inl / R, [G]. That by its offset is 1 / R."""
        return self.histogram.u + self.inl_at_bins(p) * self.inverse_range

    def mean(self, p: Parameters) -> Floats:
        """[G], codes before rounding."""
        mean = p.gain[self.unit_of_bin] * self.lever(p) + p.offset[self.unit_of_bin] * self.inverse_range
        for index, condition in enumerate(self.conditions):
            x = condition.about[self.histogram.setting]
            mean += x * (p.slopes[2 * index] * self.histogram.u + p.slopes[2 * index + 1] * self.inverse_range)
        return mean

    def shared_design(self, p: Parameters) -> sparse.csr_array:
        """Derivative of the mean by inl and slopes, [G, K + 2 X] sparse."""
        scale = p.gain[self.unit_of_bin] * self.inverse_range
        columns = [sparse.diags_array(scale) @ self.hats]
        for condition in self.conditions:
            x = condition.about[self.histogram.setting]
            columns.append(sparse.csr_array(np.stack([x * self.histogram.u, x * self.inverse_range], axis=1)))
        return sparse.csr_array(sparse.hstack(columns, format="csr"))

    def v(self) -> Floats:
        """Mean input of each bin, [G]."""
        return self.histogram.u / (self.inverse_range * self.setup.codes_per_v)

    def with_informative(self, informative: Floats) -> Transfer:
        return replace(self, informative=informative)


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

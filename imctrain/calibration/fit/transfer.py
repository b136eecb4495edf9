"""The mean of a conversion before rounding, in codes, and how it depends on the parameters.

    mean = gain * (u + inl(v) / R) * product over x of (1 + x g_x)  +  (offset + sum over x of x o_x) / R

with u = v * codes_per_v / R. gain and offset (LSB at R = 1) are those of a unit, which is one column of one die; inl
(LSB at R = 1) is shared by all units, piecewise linear in v and zero at both ends of the measured span, so that it has
no gain and no offset; x are temperature and supply about their means, with slopes shared by all units: that of the gain
is relative to each unit's own, as in `schema.Dependence` and `variation`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.reading.histogram import Histogram
from imctrain.calibration.reading.setup import MeasurementSetup


class Condition(NamedTuple):
    """Temperature or supply: of each setting about the reference, [S], and what it spans."""

    name: str
    about: Floats
    reference: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Parameters:
    """Of the mean. gain, offset: [U]. inl: at the inner knots, [K]. slopes: of each condition, of gains (relative) and
    of offsets, [2 X]."""

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


def gain_factor(about: list[Floats], p: Parameters) -> Floats | float:
    """What conditions multiply gains by, of rows; about: each condition about its reference."""
    factor: Floats | float = 1.0
    for index, x in enumerate(about):
        factor = factor * (1.0 + x * p.slopes[2 * index])
    return factor


def offset_shift(about: list[Floats], p: Parameters) -> Floats | float:
    """What conditions add to offsets, LSB at R = 1, of rows."""
    shift: Floats | float = 0.0
    for index, x in enumerate(about):
        shift = shift + x * p.slopes[2 * index + 1]
    return shift


def by_slopes(about: list[Floats], share: Floats, inverse_range: Floats, p: Parameters) -> list[sparse.csr_array]:
    """Derivatives of the mean by the slopes of each condition, [rows, 2] sparse.

    Args:
        share: of the mean, what gains multiply, conditions included.
    """
    return [
        sparse.csr_array(np.stack([x * share / (1.0 + x * p.slopes[2 * index]), x * inverse_range], axis=1))
        for index, x in enumerate(about)
    ]


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
        """U."""
        return self.column.size

    @cached_property
    def rows_of_setting(self) -> Floats:
        """Conversions of each setting, [S]."""
        h = self.histogram
        return np.bincount(h.setting, np.add.reduceat(h.count, h.first_cell), h.range.size).astype(np.float64)

    @property
    def dies(self) -> list[str]:
        """Names, in the order in which they appear; [""] where the file has none."""
        return list(dict.fromkeys(self.die.tolist()))

    def start(self) -> Parameters:
        """The nominal transfer."""
        u = self.units
        return Parameters(np.ones(u), np.zeros(u), np.zeros(self.hats.shape[1]), np.zeros(2 * len(self.conditions)))

    def inl_at_bins(self, p: Parameters) -> Floats:
        """inl(v), LSB at R = 1, [G]."""
        return self.hats @ p.inl

    def about(self, setting: Ints) -> list[Floats]:
        """Each condition about its reference, of any rows by their settings."""
        return [condition.about[setting] for condition in self.conditions]

    def lever(self, p: Parameters) -> Floats:
        """Derivative of the mean by a unit's gain, [G]. That by its offset is 1 / R."""
        ideal = self.histogram.u + self.inl_at_bins(p) * self.inverse_range
        return ideal * gain_factor(self.about(self.histogram.setting), p)

    def mean(self, p: Parameters) -> Floats:
        """[G], codes before rounding."""
        about = self.about(self.histogram.setting)
        offset = p.offset[self.unit_of_bin] + offset_shift(about, p)
        return p.gain[self.unit_of_bin] * self.lever(p) + offset * self.inverse_range

    def shared_design(self, p: Parameters) -> sparse.csr_array:
        """Derivative of the mean by inl and slopes, [G, K + 2 X] sparse."""
        about, gain = self.about(self.histogram.setting), p.gain[self.unit_of_bin]
        scale = gain * self.inverse_range * gain_factor(about, p)
        slopes = by_slopes(about, gain * self.lever(p), self.inverse_range, p)
        columns = [sparse.diags_array(scale) @ self.hats, *slopes]
        return sparse.csr_array(sparse.hstack(columns, format="csr"))

    def v(self) -> Floats:
        """Mean input of each bin, [G]."""
        return self.histogram.u / (self.inverse_range * self.setup.codes_per_v)

    def with_informative(self, informative: Floats) -> Transfer:
        """The same design, listening to other units."""
        return replace(self, informative=informative)

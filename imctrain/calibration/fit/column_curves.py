"""What single columns do beyond the shared INL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.fit.chip_fit import ChipFit
from imctrain.calibration.variation import CURVE_SHAPES, curves_at

MOST_SEGMENTS, FEWEST_SEGMENTS = 32, 6
FEWEST_ROWS_A_SEGMENT = 25


@dataclass(frozen=True)
class ColumnCurves:
    """What single columns deviate from the shared INL, LSB at R = 1 of what they give (gain times what the INL has).

    Attributes:
        rms: with bounds low and high.
        centres: of the segments of v, [segments]. own: curve of each unit there, [U, segments]; what noise alone could
            make of it is taken back (it is the mean of a Gaussian prior of that rms, given the conversions).
    """

    rms: float
    low: float
    high: float
    centres: Floats
    own: Floats

    def at(self, unit: Ints, v: Floats) -> Floats:
        """Of units at inputs, linear between centres, [n]; 0 where curves are not significant."""
        if self.low == 0.0:
            return np.zeros(v.size)
        step = self.centres[1] - self.centres[0]
        place = np.clip((v - self.centres[0]) / step, 0.0, self.centres.size - 1.0)
        left = np.minimum(place.astype(np.int64), self.centres.size - 2)
        share = place - left
        return (1.0 - share) * self.own[unit, left] + share * self.own[unit, left + 1]


def column_curves(fit: ChipFit, replicates: int, seed: int = 0) -> ColumnCurves | None:
    """Excess of the variance of residuals' means over segments of v, beyond what noise explains, over what curves of
    rms 1 (`variation.CURVE_SHAPES`) would make of it.

    The columns' gains and offsets are fitted too, so that only what lies off a line counts; conversions at small
    ranges, which weigh most, see a line where curves are drawn over all inputs. None where there are too few
    conversions for segments. Bounds from redrawing columns.
    """
    transfer, h = fit.transfer, fit.transfer.histogram
    good = fit.usable & ~fit.outliers
    rows = h.rows / max(int(good.sum()), 1)
    segments = int(min(MOST_SEGMENTS, rows // FEWEST_ROWS_A_SEGMENT))
    if segments < FEWEST_SEGMENTS or transfer.knots.size == 0:
        return None
    v = transfer.v()
    low, high = transfer.knots[0], transfer.knots[-1]
    inside = (v >= low) & (v <= high)
    segment = np.clip(((v - low) / (high - low) * segments).astype(int), 0, segments - 1)
    key = transfer.unit_of_bin * segments + segment
    # Shift of the mean in codes, by one Newton step in every segment; brought to LSB at R = 1.
    size = transfer.units * segments
    lever = transfer.inverse_range
    every_score = np.bincount(key, inside * fit.scores.mean * lever, size).reshape(-1, segments)
    every_information = np.bincount(key, inside * fit.scores.curvature * lever**2, size).reshape(-1, segments)
    score, information = every_score[good], every_information[good]
    shared = 1.0
    if good.sum() > 1:
        # What all columns do alike (DNL, an INL with corners) is no column's own.
        alike = score.sum(axis=0) / np.maximum(information.sum(axis=0), 1e-12)
        every_score = every_score - every_information * alike
        score = score - information * alike
        shared = float(good.sum() / (good.sum() - 1))
    known = information > 0
    made = np.where(known, score**2 / np.where(known, information, 1.0), 0.0).sum(axis=1)
    # Two segments' worth of freedom went into every column's gain and offset.
    excess = shared * made - np.maximum(known.sum(axis=1) - 2, 0)
    centres = low + (np.arange(segments) + 0.5) / segments * (high - low)
    weight = _of_unit_curves(centres, np.asarray(information, np.float64), transfer.setup.lowest_v)
    value = float(excess.sum() / weight.sum())
    rng = np.random.default_rng([seed, 1])
    drawn = rng.integers(0, weight.size, (max(replicates, 50), weight.size))
    spread = float(np.std(excess[drawn].sum(axis=1) / weight[drawn].sum(axis=1)))
    rms, lowest, highest = (float(np.sqrt(max(0.0, value + 1.96 * k * spread))) for k in (0, -1, 1))
    own = every_score / (every_information + 1.0 / max(value, 1e-9)) * good[:, None]
    return ColumnCurves(rms, lowest, highest, centres, own)


def _of_unit_curves(v: Floats, information: Floats, lowest_v: float) -> Floats:
    """Excess that curves of rms 1 make in every column, [columns]: the mean over shapes of what they are off their
    line.

    Args:
        v: centres of segments, [segments]. information: of every column there, [columns, segments].
    """
    shapes = curves_at(np.eye(len(CURVE_SHAPES))[:, None], v, lowest_v)
    basis = np.stack([np.ones_like(v), v])
    gram = np.einsum("us,as,bs->uab", information, basis, basis) + 1e-12 * np.eye(2)
    along = np.einsum("us,as,ls->ual", information, basis, shapes)
    total = np.einsum("us,ls->ul", information, shapes**2)
    return np.asarray((total - np.einsum("ual,ual->ul", along, np.linalg.solve(gram, along))).mean(axis=1))

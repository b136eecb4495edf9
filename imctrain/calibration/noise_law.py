"""Temporal noise of every setting, in codes before rounding, and how it depends on its parameters.

    sigma^2 = (array^2 / R^2 + adc^2) * exp(2 * sum over x of x * s_x) * m^2 + spread of the inputs within a bin

array is present before the reference range (LSB at R = 1), adc is in the converter's own LSB; only conversions at more
than one R tell them apart, otherwise all of it is `array`. x are temperature and supply about their means; m is what
one unit's noise is of all units' (1 until single units are fitted).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls

from imctrain.calibration.histogram import Floats
from imctrain.calibration.likelihood import Scores
from imctrain.calibration.transfer import Transfer

LEAST_SIGMA = 0.02
"""LSB: no measurement of codes resolves less."""


@dataclass(frozen=True)
class NoiseLaw:
    """Parameters of the noise.

    Attributes:
        array, adc: variances, LSB^2. split: whether the two are told apart.
        slopes: relative change of sigma with each condition, [X].
        unit: m of each unit, [U].
    """

    array: float
    adc: float
    split: bool
    slopes: Floats
    unit: Floats

    @property
    def total(self) -> float:
        """sigma at R = 1, LSB."""
        return float(np.sqrt(self.array + self.adc))

    def _parts(self, transfer: Transfer) -> tuple[Floats, Floats]:
        """(array, adc) parts of every setting's variance, [S]."""
        exponent = np.zeros(transfer.unit.size)
        for slope, condition in zip(self.slopes, transfer.conditions, strict=True):
            exponent += slope * condition.about
        factor = np.exp(2.0 * np.clip(exponent, -5, 5)) * self.unit[transfer.unit] ** 2
        return factor * self.array / transfer.histogram.range**2, factor * self.adc

    def variance(self, transfer: Transfer) -> Floats:
        """Of the noise, [S]."""
        return np.add(*self._parts(transfer))

    def sigma(self, transfer: Transfer) -> Floats:
        """What the likelihood needs: the spread of inputs within bins included, [S]."""
        return np.sqrt(self.variance(transfer) + transfer.histogram.input_variance)

    def derivatives(self, transfer: Transfer) -> Floats:
        """Of log sigma by (log array, log adc, slopes), [S, 2 + X]; the column of a part that is not fitted is 0."""
        parts = self._parts(transfer)
        total = parts[0] + parts[1] + transfer.histogram.input_variance
        columns = [0.5 * parts[0] / total, 0.5 * parts[1] / total if self.split else np.zeros_like(total)]
        columns += [condition.about * (parts[0] + parts[1]) / total for condition in transfer.conditions]
        return np.stack(columns, axis=1)

    def information(self, transfer: Transfer, scores: Scores) -> Floats:
        """Fisher information of (log array, log adc, slopes), [2 + X, 2 + X], a little kept off zero."""
        d = self.derivatives(transfer)
        settings = scores.spread_square * transfer.informative[transfer.unit]
        return (d.T * settings) @ d + 1e-9 * np.eye(d.shape[1])

    def stepped(self, transfer: Transfer, scores: Scores) -> tuple[NoiseLaw, float]:
        """After a scoring step, and the gain in likelihood that the step promises."""
        d = self.derivatives(transfer)
        score = d.T @ (scores.spread * transfer.informative[transfer.unit])
        raw = np.linalg.solve(self.information(transfer, scores), score)
        step = np.clip(raw, -1.0, 1.0)
        floor = LEAST_SIGMA**2
        array = max(self.array * float(np.exp(step[0])), floor if not self.split else 0.01 * floor)
        adc = max(self.adc * float(np.exp(step[1])), 0.01 * floor) if self.split else self.adc
        at_floor = array <= 1.01 * floor and step[0] <= 0 and not self.split
        law = replace(self, array=array, adc=adc, slopes=self.slopes + step[2:])
        return law, 0.0 if at_floor else 0.5 * float(score @ step)

    def with_units(self, transfer: Transfer, scores: Scores) -> NoiseLaw:
        """After a scoring step of every unit's m."""
        variance = self.variance(transfer)
        share = variance / (variance + transfer.histogram.input_variance)
        score = np.bincount(transfer.unit, scores.spread * share, transfer.units)
        information = np.bincount(transfer.unit, scores.spread_square * share**2, transfer.units)
        step = np.clip(score / np.maximum(information, 1e-9), -0.7, 0.7)
        least = LEAST_SIGMA / max(self.total, LEAST_SIGMA)
        return replace(self, unit=np.clip(self.unit * np.exp(step), least, 1e4))


def starting_law(transfer: Transfer, variance_of_range: dict[float, float]) -> NoiseLaw:
    """From the variance of codes about a line at each R (rounding included)."""
    ranges = np.array(list(variance_of_range))
    variances = np.maximum(np.array(list(variance_of_range.values())) - 1.0 / 12.0, 0.04)
    ones = np.ones(transfer.units)
    slopes = np.zeros(len(transfer.conditions))
    if ranges.size < 2:
        return NoiseLaw(float(variances[0] * ranges[0] ** 2), 0.0, False, slopes, ones)
    design = np.stack([1.0 / ranges**2, np.ones_like(ranges)], axis=1)
    parts, _ = nnls(design, variances)
    least = 0.05 * float(variances.min())
    return NoiseLaw(
        max(float(parts[0]), least * float(ranges.min()) ** 2), max(float(parts[1]), least), True, slopes, ones
    )

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

from imctrain.calibration.arrays import Floats
from imctrain.calibration.fit.likelihood import Scores
from imctrain.calibration.fit.transfer import Transfer

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

    def _factor(self, transfer: Transfer) -> Floats:
        """What conditions and units multiply the variance with, [S]."""
        exponent = np.zeros(transfer.unit.size)
        for slope, condition in zip(self.slopes, transfer.conditions, strict=True):
            exponent += slope * condition.about
        return np.exp(2.0 * np.clip(exponent, -5, 5)) * self.unit[transfer.unit] ** 2

    def variance(self, transfer: Transfer) -> Floats:
        """Of the noise, [S]."""
        return self._factor(transfer) * (self.array / transfer.histogram.range**2 + self.adc)

    def sigma(self, transfer: Transfer) -> Floats:
        """What the likelihood needs: the spread of inputs within bins included, [S]."""
        return np.sqrt(self.variance(transfer) + transfer.histogram.input_variance)

    def derivatives(self, transfer: Transfer) -> Floats:
        """Of log sigma by (array, adc, slopes), [S, 2 + X]; the column of a part that is not fitted is 0."""
        factor, squared_range = self._factor(transfer), transfer.histogram.range**2
        noise = factor * (self.array / squared_range + self.adc)
        total = noise + transfer.histogram.input_variance
        by_array = 0.5 * factor / squared_range / total
        by_adc = 0.5 * factor / total if self.split else np.zeros_like(total)
        return np.stack([by_array, by_adc, *(c.about * noise / total for c in transfer.conditions)], axis=1)

    def information(self, transfer: Transfer, scores: Scores) -> Floats:
        """Fisher information of (array, adc, slopes), [2 + X, 2 + X], a little kept off zero."""
        d = self.derivatives(transfer)
        settings = scores.spread_square * transfer.informative[transfer.unit]
        information = (d.T * settings) @ d
        return information + np.diag(1e-9 * np.diag(information) + 1e-12)

    def step(self, transfer: Transfer, scores: Scores) -> tuple[Floats, float]:
        """A scoring step of (array, adc, slopes), and the gain in likelihood that it promises.

        A variance that would fall below its least value is held there, and the others are solved for again.
        """
        score = self.derivatives(transfer).T @ (scores.spread * transfer.informative[transfer.unit])
        information = self.information(transfer, scores)
        total = self.array + self.adc
        current = np.array([self.array, self.adc, *self.slopes])
        least = np.full(current.size, -np.inf)
        least[:2] = np.maximum(self._least(), current[:2] - 0.8 * total)
        most = np.full(current.size, np.inf)
        most[:2] = current[:2] + 2.0 * total
        step = np.zeros(current.size)
        free = np.ones(current.size, bool)
        free[1] = self.split
        while free.any():
            pull = score[free] - information[np.ix_(free, ~free)] @ step[~free]
            step[free] = np.linalg.solve(information[np.ix_(free, free)], pull)
            target = current + step
            held = free & ((target < least) | (target > most))
            if not held.any():
                break
            step[held] = (np.clip(target, least, most) - current)[held]
            free &= ~held
        return step, float(score @ step - 0.5 * step @ information @ step)

    def moved(self, step: Floats, share: float = 1.0) -> NoiseLaw:
        """After a share of a step."""
        array, adc, *slopes = np.array([self.array, self.adc, *self.slopes]) + share * step
        return replace(self, array=float(array), adc=float(adc), slopes=np.array(slopes))

    def _least(self) -> Floats:
        """Variances below which nothing is resolved: of the sum, which one of two parts may well be 0 in."""
        floor = LEAST_SIGMA**2
        return np.array([0.01 * floor, 0.01 * floor] if self.split else [floor, 0.0])

    def with_units(self, transfer: Transfer, scores: Scores) -> NoiseLaw:
        """After a scoring step of every unit's m."""
        variance = self.variance(transfer)
        share = variance / (variance + transfer.histogram.input_variance)
        score = np.bincount(transfer.unit, scores.spread * share, transfer.units)
        information = np.bincount(transfer.unit, scores.spread_square * share**2, transfer.units)
        # Of a unit that is noisier than assumed, single scores are so large that steps would hardly move it. A Gaussian
        # has an information of 2 a row, and rounding leaves less.
        most = 2.0 * np.bincount(transfer.unit, (transfer.rows_of_setting - scores.bad) * share**2, transfer.units)
        information = np.minimum(information, most)
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

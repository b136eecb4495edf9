"""Figures with their bounds, rounded as the calibration file has them."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from imctrain.calibration.fit.bootstrap import LEVEL
from imctrain.calibration.fit.noise_law import LEAST_SIGMA
from imctrain.calibration.schema import Estimate, Interval, SignedEstimate

DIGITS = 6
"""Significant digits in the file: more would only pretend."""


def rounded(value: float) -> float:
    """To `DIGITS` significant digits."""
    return float(f"{float(value):.{DIGITS}g}")


def interval(value: float, half: float) -> Interval:
    """value +- half."""
    return (rounded(value - half), rounded(value + half))


def fraction_interval(fraction: float, rows: int) -> Interval:
    """Wilson's interval of a fraction of `rows`; it holds for none at all, too."""
    z2 = float(ndtri(0.5 + LEVEL / 2)) ** 2
    rows = max(rows, 1)
    centre = (fraction + z2 / (2 * rows)) / (1 + z2 / rows)
    half = np.sqrt(z2 * (fraction * (1 - fraction) / rows + z2 / (4 * rows**2))) / (1 + z2 / rows)
    return (rounded(max(centre - half, 0.0)), rounded(min(centre + half, 1.0)))


def signed(value: float, half: float) -> SignedEstimate:
    """A figure of either sign, value +- half."""
    return SignedEstimate(value=rounded(value), low=rounded(value - half), high=rounded(value + half))


def positive(value: float, log_half: float) -> Estimate:
    """A positive figure whose logarithm has an interval of +-log_half."""
    factor = float(np.exp(min(log_half, 10.0)))
    bounds = (rounded(value / factor), rounded(value), rounded(value * factor))
    return Estimate(value=bounds[1], low=min(bounds), high=max(bounds))


def root(variance: float, half: float) -> Estimate:
    """Estimate of a sigma from its variance +- half; what lies below the resolution of codes is 0."""
    value = float(np.sqrt(variance))
    high = float(np.sqrt(variance + half))
    if value <= 1.1 * LEAST_SIGMA:
        return Estimate(value=0.0, low=0.0, high=rounded(max(LEAST_SIGMA, high)))
    bounds = [rounded(x) for x in (np.sqrt(max(variance - half, 0.0)), value, high)]
    return Estimate(value=bounds[1], low=min(bounds), high=max(bounds))

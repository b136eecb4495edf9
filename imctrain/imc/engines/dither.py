"""How far a dithered converter is from linear: what rounding leaves when noise precedes it.

For n ~ N(0, sigma^2), in LSB, the error of round(a + n) has

    e_k         = exp(-2 pi^2 k^2 sigma^2)
    bias(a)     = sum_k (-1)^k / (pi k) sin(2 pi k a) e_k
    variance(a) = sigma^2 + 1/12 + sum_k (-1)^k cos(2 pi k a) e_k (1/(pi^2 k^2) + 4 sigma^2) - bias(a)^2
    slope       = 1 + 2 sum_k (-1)^k e_k              what a signal far below one LSB is scaled by

    sigma   slope   |bias| at most   variance / (sigma^2 + 1/12)
    0.35    0.82    0.028            0.74 to 1.26
    0.40    0.915   0.014            0.87 to 1.13
    0.50    0.986   0.0023           0.98 to 1.02
    0.52    0.990   0.0015           0.98 to 1.02

A bound on the bias is not enough: it has the signal's sign, so it adds up over passes and repeats as a gain error. From
0.52 LSB on a small signal keeps its size within 1 %, and the variance is within 2 % of sigma^2 + 1/12 at any voltage.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

TERMS = 64


def _harmonics(sigma_lsb: float) -> Iterator[tuple[int, float, float]]:
    """(k, (-1)^k, e_k)."""
    for k in range(1, TERMS):
        yield k, (-1.0) ** k, math.exp(-2 * (math.pi * sigma_lsb * k) ** 2)


def bias(a: float, sigma_lsb: float) -> float:
    """Mean of round(a + n) - a in LSB, for n ~ N(0, sigma^2) with sigma > 0."""
    return sum(sign * math.sin(2 * math.pi * k * a) * e / (math.pi * k) for k, sign, e in _harmonics(sigma_lsb))


def variance(a: float, sigma_lsb: float) -> float:
    """Variance of round(a + n) in LSB^2, for n ~ N(0, sigma^2) with sigma > 0."""
    square = sigma_lsb**2
    waves = (
        sign * math.cos(2 * math.pi * k * a) * e * (1 / (math.pi * k) ** 2 + 4 * square)
        for k, sign, e in _harmonics(sigma_lsb)
    )
    return square + 1 / 12 + sum(waves) - bias(a, sigma_lsb) ** 2


def slope(sigma_lsb: float) -> float:
    """What a signal far below one LSB is scaled by: d(mean of round(a + n)) / da at a = 0."""
    return 1 + 2 * sum(sign * e for _, sign, e in _harmonics(sigma_lsb))


def bias_bound(sigma_lsb: float) -> float:
    """Largest bias in LSB of a converter with noise sigma before rounding; 1/2 without noise."""
    if sigma_lsb <= 0:
        return 0.5
    return min(sum(e / (math.pi * k) for k, _, e in _harmonics(sigma_lsb)), 0.5)


@functools.cache
def least_sigma(bias_limit: float) -> float:
    """The smallest sigma in LSB whose bias bound is within `bias_limit` (LSB), by bisection."""
    low, high = 0.0, 5.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if bias_bound(middle) <= bias_limit else (middle, high)
    return high

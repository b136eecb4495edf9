"""What readings of a column at zero input tell of its offset, and what they cannot tell.

A reading is round(a + n), n ~ N(0, sigma^2), clipped to the converter's codes; a is the column's voltage in LSB of the
range that is read at. The mean of n readings has

    mean        a + b(a)        b is wrong for ever, however many readings there are
    variance    V(a) / n

with b and V those of dithered rounding (`dither` has their Fourier series). Here they are sums over the codes, each
with its Gaussian probability, and so hold for clipped readings and for converters without codes below zero as well.
Over offsets that are anywhere between two codes, inside the range,

    lasting error   S = <b^2> = sum_k exp(-4 pi^2 k^2 sigma^2) / (2 pi^2 k^2)      1/12 at sigma = 0, 0.066^2 at 0.25
    error of n      S + (sigma^2 + 1/12 - S) / n                                   LSB^2

since <V> = sigma^2 + 1/12 - S: a reading of a random offset is wrong by sigma^2 + 1/12 in all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

TERMS = 1000
"""Of the series, which falls as 1/k^2 without noise: what is left out is then 5e-5 LSB^2."""
REACH = 9.0
"""Standard deviations of noise that the codes summed over span."""
WIDE = 16.0
"""Noise in LSB from which on rounding is taken as uniform noise: means are then wrong by 0.001 LSB at most (at the edge
of the codes; the rounding of a conversion inside them is linear to all digits)."""


class Moments(NamedTuple):
    """Mean (LSB) and variance (LSB^2) of one reading."""

    mean: Floats
    variance: Floats


def reading_moments(
    voltage_lsb: Floats, sigma_lsb: float | Floats, lowest: int, highest: int, edges: Sequence[float] = ()
) -> Moments:
    """Mean and variance of clip(round(a + n), lowest, highest) for n ~ N(0, sigma^2).

    Args:
        voltage_lsb: a, any shape. sigma_lsb: 0 or more, one for all or one for each. lowest, highest: the
            converter's codes. edges: where codes that differ in width begin (`Converter.thresholds`).
    """
    a = np.asarray(voltage_lsb, np.float64)
    sigma = np.broadcast_to(np.asarray(sigma_lsb, np.float64), a.shape)
    # Sums are of what codes lie off the nearest one, so that no digit is lost where codes are large.
    nearest = np.clip(np.rint(a), lowest, highest)
    still = (
        nearest.copy() if not edges else lowest + np.searchsorted(edges, a - lowest, side="right").astype(np.float64)
    )
    moments = Moments(still, np.zeros_like(a))
    for members, of in (((sigma > 0) & (sigma <= WIDE), _summed), (sigma > WIDE, _wide)):
        if members.any():
            found = of(a[members], nearest[members], sigma[members], lowest, highest, edges)
            moments.mean[members], moments.variance[members] = found
    return moments


def _summed(
    a: Floats, nearest: Floats, sigma_lsb: Floats, lowest: int, highest: int, edges: Sequence[float]
) -> Moments:
    """Code by code."""
    shift = np.asarray(edges) - np.arange(len(edges)) - 0.5
    reach = math.ceil(REACH * sigma_lsb.max() + np.abs(shift).max(initial=0.0)) + 1

    def upper(code: Floats) -> Floats:
        """The edge above a code."""
        if not edges:
            return code + 0.5
        index = (code - lowest).astype(np.int64)
        known = (index >= 0) & (index < shift.size)
        return code + 0.5 + np.where(known, shift[np.clip(index, 0, shift.size - 1)], 0.0)

    centre = np.rint(a)
    first, second = np.zeros_like(a), np.zeros_like(a)
    below = np.zeros_like(a)
    for step in range(-reach, reach + 1):
        upto = ndtr((upper(centre + step) - a) / sigma_lsb) if step < reach else np.ones_like(a)
        away = np.clip(centre + step, lowest, highest) - nearest
        first += (upto - below) * away
        second += (upto - below) * away**2
        below = upto
    return Moments(nearest + first, np.maximum(second - first**2, 0.0))


def _wide(a: Floats, nearest: Floats, sigma: Floats, lowest: int, highest: int, edges: Sequence[float]) -> Moments:
    """Those of a clipped Gaussian, with the variance of rounding where it is not clipped: edges average out."""
    del edges

    def below(edge: int) -> tuple[Floats, Floats, Floats]:
        """Of the Gaussian below an edge: probability, first and second moment about `nearest`."""
        z, shift = (edge - a) / sigma, a - nearest
        share = ndtr(z)
        density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        first = shift * share - sigma * density
        second = (shift**2 + sigma**2) * share - (2 * shift + sigma * z) * sigma * density
        return share, first, second

    low, high = below(lowest), below(highest)
    inside = high[0] - low[0]
    first = (lowest - nearest) * low[0] + (high[1] - low[1]) + (highest - nearest) * (1 - high[0])
    second = (lowest - nearest) ** 2 * low[0] + (high[2] - low[2]) + (highest - nearest) ** 2 * (1 - high[0])
    return Moments(nearest + first, np.maximum(second - first**2, 0.0) + inside / 12.0)


def lasting_error(sigma_lsb: float) -> float:
    """S in LSB^2: what a mean of ever so many readings is wrong by, mean square over random offsets."""
    k = np.arange(1, TERMS)
    return float(np.sum(np.exp(-((2 * math.pi * k * sigma_lsb) ** 2)) / (2 * (math.pi * k) ** 2)))


def mean_error(sigma_lsb: float, count: int) -> float:
    """S + (sigma^2 + 1/12 - S) / n in LSB^2: what the mean of `count` readings is wrong by, over random offsets."""
    lasting = lasting_error(sigma_lsb)
    return lasting + (sigma_lsb**2 + 1.0 / 12.0 - lasting) / count

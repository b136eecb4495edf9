"""What residuals a Gaussian, rounded to codes, should give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from imctrain.calibration.arrays import Floats
from imctrain.calibration.fit.chip_fit import ChipFit

WINDOW_SIGMAS, WINDOW_CODES = 6.0, 1.0
"""A residual beyond this is a row that means nothing; what is inside counts for the tails."""
FRACTIONS = 64


class Expected(NamedTuple):
    """Of r = round(mean + sigma eps) - mean inside the window, for fractions of the mean, each [S, FRACTIONS].

    r4, far: of a Gaussian, r^4 and whether |r| > 4 sigma + 1/2. bad4, bad_far, codes: sums over the window's codes of
    r^4, of that, and of 1.
    """

    r4: Floats
    far: Floats
    bad4: Floats
    bad_far: Floats
    codes: Floats


def expected_of(sigma: Floats) -> Expected:
    """For the sigma of every setting, [S]."""
    fraction = (np.arange(FRACTIONS) + 0.5) / FRACTIONS
    distinct, index = np.unique(np.round(sigma, 4), return_inverse=True)
    tables = np.empty((5, distinct.size, FRACTIONS))
    for row, width in enumerate(np.maximum(distinct, 1e-4)):
        window = WINDOW_SIGMAS * width + WINDOW_CODES
        reach = int(np.ceil(window)) + 1
        r = np.arange(-reach, reach + 1)[:, None] - fraction
        near = np.abs(r) <= window
        probability = (ndtr((r + 0.5) / width) - ndtr((r - 0.5) / width)) * near
        far = np.abs(r) > 4 * width + 0.5
        values = (probability * r**4, probability * far, near * r**4, near & far, near)
        tables[:, row] = [value.sum(axis=0) for value in values]
    return Expected(*tables[:, index])


def expected_histogram(fit: ChipFit, mean: Floats, sigma: Floats, window: Floats, edges: Floats, rows: float) -> Floats:
    """Of the residuals at the largest R: Gaussians, rounded, about means that lie between codes as the fitted ones."""
    h, setup = fit.transfer.histogram, fit.transfer.setup
    inside = (mean - window[h.setting] > setup.lowest) & (mean + window[h.setting] < setup.highest)
    weight = np.add.reduceat(h.count, h.first_cell)
    weight = weight * (fit.usable[fit.transfer.unit] * (h.range == h.range.max()))[h.setting] * inside
    distinct, width_index = np.unique(np.round(sigma, 2), return_inverse=True)
    fraction = np.minimum((mean - np.floor(mean)) * FRACTIONS, FRACTIONS - 1).astype(int)
    key = width_index[h.setting] * FRACTIONS + fraction
    shares = np.bincount(key, weight, distinct.size * FRACTIONS).reshape(-1, FRACTIONS) / max(weight.sum(), 1.0)
    reach = int(edges[-1]) + 1
    codes = np.arange(-reach, reach + 2)
    centre = (np.arange(FRACTIONS) + 0.5) / FRACTIONS
    residual = codes[:, None] - centre
    density = np.zeros(edges.size - 1)
    for width, share in zip(np.maximum(distinct, 1e-3), shares, strict=True):
        probability = share * (ndtr((residual + 0.5) / width) - ndtr((residual - 0.5) / width))
        density += np.histogram(residual, edges, weights=probability)[0]
    return rows * density

"""Likelihood of codes: a Gaussian seen through rounding and clipping, with a few rows that mean nothing.

A code k says that the voltage before rounding lay between k - 1/2 and k + 1/2, and a clipped one that it lay beyond the
last threshold; this holds for any sigma, where the standard deviation of codes does not (below 0.5 LSB rounding is no
longer noise of 1/12 LSB^2) and a regression on clipped codes is biased. With Phi and phi the normal distribution and
density, a and b the interval's ends in units of sigma about the mean:

    L(k) = (1 - bad) * (Phi(b) - Phi(a)) + bad / 2**B

The second term is a row of any code. The weight w of a row is the share of the first term in its likelihood; the
derivatives below treat it as given, as an EM step does, and it pulls rows that mean nothing out of every sum.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.fit.chunks import Chunk, chunks, in_parallel
from imctrain.calibration.reading.histogram import Histogram

FAR = 40.0
"""Sigmas from the mean beyond which nothing is left of the density."""


class CellScores(NamedTuple):
    """Per conversion of each cell of a chunk, [c]: log L, the weight w, and derivatives multiplied by w.

    mean, curvature: of log(Phi(b) - Phi(a)) by the mean, first and minus the second. spread: by log sigma.
    """

    loglik: Floats
    weight: Floats
    mean: Floats
    curvature: Floats
    spread: Floats


class Scores(NamedTuple):
    """Sums over conversions.

    Of each bin, [G]: mean, curvature. Of each setting, [S]: loglik, bad (rows that mean nothing), spread (derivative
    by log sigma) and spread_square (its square, one conversion at a time: the information).
    """

    mean: Floats
    curvature: Floats
    loglik: Floats
    bad: Floats
    spread: Floats
    spread_square: Floats


def cell_scores(code: Ints, mean: Floats, sigma: Floats, bad: float, lowest: int, highest: int) -> CellScores:
    """Likelihood and derivatives for codes [c], with the mean [c] and sigma [c] in codes before rounding."""
    lower, upper = (code - 0.5 - mean) / sigma, (code + 0.5 - mean) / sigma
    a = np.where(code == lowest, -FAR, np.clip(lower, -FAR, FAR))
    b = np.where(code == highest, FAR, np.clip(upper, -FAR, FAR))
    probability = ndtr(b) - ndtr(a)
    scale = 1.0 / math.sqrt(2.0 * math.pi)
    density_a, density_b = scale * np.exp(-0.5 * a * a), scale * np.exp(-0.5 * b * b)
    likelihood = (1.0 - bad) * probability + bad / (highest - lowest + 1)
    share = (1.0 - bad) / likelihood
    weight = share * probability
    mean_score = share * (density_a - density_b) / sigma
    spread = share * (a * density_a - b * density_b)
    alone = np.where(weight > 1e-9, mean_score / np.maximum(weight, 1e-9), 0.0)
    curvature = mean_score * alone - spread / sigma**2
    return CellScores(np.log(likelihood), weight, mean_score, np.maximum(curvature, 0.0), spread)


def evaluate(histogram: Histogram, mean: Floats, sigma: Floats, bad: float, lowest: int, highest: int) -> Scores:
    """Sums over all conversions.

    Args:
        mean: expected voltage of each bin in codes before rounding, [G]. sigma: of each setting, the same unit, [S].
        bad: fraction of rows that may have any code.
    """
    settings = histogram.range.size

    def work(chunk: Chunk) -> tuple[Floats, Floats, slice, Floats]:
        setting = histogram.setting[chunk.bins]
        count = histogram.count[chunk.cells]
        code, at = histogram.code[chunk.cells], chunk.to_cells(mean[chunk.bins])
        cells = cell_scores(code, at, chunk.to_cells(sigma[setting]), bad, lowest, highest)
        square = cells.spread**2 / np.maximum(cells.weight, 1e-9)
        first, stop = int(setting[0]), int(setting[-1]) + 1
        sums = [
            np.bincount(setting - first, chunk.per_bin(count * values), stop - first)
            for values in (cells.loglik, 1.0 - cells.weight, cells.spread, square)
        ]
        return (
            chunk.per_bin(count * cells.mean),
            chunk.per_bin(count * cells.curvature),
            slice(first, stop),
            np.stack(sums),
        )

    means, curvatures = [], []
    of_settings = np.zeros((4, settings))
    for mean_score, curvature, where, sums in in_parallel(work, chunks(histogram)):
        means.append(mean_score)
        curvatures.append(curvature)
        of_settings[:, where] += sums
    return Scores(np.concatenate(means), np.concatenate(curvatures), *of_settings)

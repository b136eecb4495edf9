"""At which noise a curve of accuracy falls through a line, by interpolation, with its uncertainty.

The curve is the means over seeds at each level, made monotone (isotonic regression, weighted by the number of seeds)
and joined by straight lines. The uncertainty is a parametric bootstrap: means are redrawn with the spread that seeds
have (pooled over all levels with several seeds, and at least what the finite test set gives), the baseline's too. The
method is this project's decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

DRAWS = 2000
CONFIDENCE = 0.95
ASSUMED_SEED_STD = 0.005
"""Spread of test accuracy between seeds, as a fraction, where no level has two seeds: an assumption."""

WHY = {
    "unreached": "below the line without noise too",
    "infinite": "no finite value: the lower curve is below the line without noise too",
    "unknown": "neither curve crosses the line within its levels",
}
"""What stands in place of a value that has no limit either."""

Points = Mapping[float, Sequence[float]]
"""Accuracies (fractions) by noise level."""


class EstimateRow(TypedDict):
    """An `Estimate` in JSON."""

    value: float | None
    low: float | None
    high: float | None
    bound: str | None
    limit: float | None


@dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: None where there is none; `bound` then says "below" or "above" which `limit` it lies, or, where there is
            no limit either, why (`WHY`).
        low, high: of the interval; None where it is open to that side.
    """

    value: float | None
    low: float | None
    high: float | None
    bound: str | None = None
    limit: float | None = None

    @property
    def order(self) -> float:
        """The value to sort by: infinite where it lies above what was measured, 0 where below."""
        if self.value is None:
            return float("inf") if self.bound == "above" else 0.0
        return self.value

    def as_dict(self) -> EstimateRow:
        return {"value": self.value, "low": self.low, "high": self.high, "bound": self.bound, "limit": self.limit}

    def text(self) -> str:
        """Such as "0.82 (0.71 to 0.93)", "above 2"."""
        if self.limit is None and self.bound is not None:
            return WHY[self.bound]
        if self.value is None:
            return f"{self.bound} {self.limit:.3g}"
        low = "?" if self.low is None else f"{self.low:.3g}"
        high = "?" if self.high is None else f"{self.high:.3g}"
        return f"{self.value:.3g} ({low} to {high})"


def seed_std(groups: Sequence[Sequence[float]], test_images: int | None = None) -> float:
    """Standard deviation between seeds, pooled over groups of the same config; never below binomial noise."""
    squares = degrees = 0.0
    for group in groups:
        if len(group) > 1:
            squares += float(np.var(group, ddof=1)) * (len(group) - 1)
            degrees += len(group) - 1
    pooled = float(np.sqrt(squares / degrees)) if degrees else ASSUMED_SEED_STD
    if not test_images:
        return pooled
    mean = float(np.mean([value for group in groups for value in group]))
    return max(pooled, float(np.sqrt(mean * (1.0 - mean) / test_images)))


def crossing(points: Points, baseline: Sequence[float], drop: float, std: float, seed: int = 0) -> Estimate:
    """The level at which the curve is `drop` (a fraction) below the baseline's mean.

    Args:
        points: accuracies by level. baseline: accuracies of the float runs. std: between seeds.
    """
    levels = np.asarray(sorted(points), float)
    draws = _draws(points, baseline, drop, std, np.random.default_rng(seed))
    return _estimate(_level(points, _line(baseline, drop)), draws, levels)


def ratio(upper: Points, lower: Points, baseline: Sequence[float], drop: float, std: float, seed: int = 0) -> Estimate:
    """Crossing of `upper` over that of `lower`; both bootstrapped with the same baselines.

    Where only one curve crosses within its levels, the ratio is a bound: `value` is None and `limit` what it is above
    or below; without a limit where the lower curve misses the line at zero noise already.
    """
    values = [_level(points, _line(baseline, drop)) for points in (upper, lower)]
    # The same generator for both: the baseline is drawn first and is common to them.
    a, b = (_draws(points, baseline, drop, std, np.random.default_rng(seed)) for points in (upper, lower))
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = a / b
    draws = draws[~np.isnan(draws)]
    first, second = values
    low, high = _interval(draws)
    if np.isfinite(first) and np.isfinite(second) and second > 0:
        return Estimate(first / second, low, high)
    top, bottom = max(upper), min(lower)
    if np.isinf(first) and np.isfinite(second) and second > 0:
        return Estimate(None, low, high, "above", top / second)
    if np.isfinite(first) and first > 0 and np.isinf(second):
        return Estimate(None, None, None, "below", first / max(lower))
    if first > 0 and second == 0:
        # The lower curve is below the line at its lowest level already; the upper one may never fall to it.
        if bottom == 0:
            return Estimate(None, low, None, "infinite", None)
        return Estimate(None, None, None, "above", min(first, top) / bottom)
    return Estimate(None, None, None, "unknown", None)


def _means(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """(mean, count) by level, in order of level."""
    levels = sorted(points)
    return np.asarray([np.mean(points[x]) for x in levels]), np.asarray([len(points[x]) for x in levels], float)


def _line(baseline: Sequence[float], drop: float) -> float:
    return float(np.mean(baseline)) - drop


def levels_crossed(levels: np.ndarray, means: np.ndarray, counts: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """[n] where each curve of `means` [n, levels] crosses its line; 0 if it is below the line from the first level on,
    infinity if it never falls to it."""
    from scipy.optimize import isotonic_regression

    curves = means.copy()
    # A curve that falls all the way is its own regression.
    for row in np.flatnonzero(~(np.diff(means, axis=1) < 0).all(axis=1)):
        curves[row] = isotonic_regression(means[row], weights=counts, increasing=False).x
    below = curves < lines[:, None]
    first = np.clip(below.argmax(axis=1), min(1, len(levels) - 1), None)
    rows = np.arange(len(curves))
    above, under = curves[rows, first - 1], curves[rows, first]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (above - lines) / (above - under)
        found = levels[first - 1] + share * (levels[first] - levels[first - 1])
    return np.where(below[:, 0], 0.0, np.where(below.any(axis=1), found, np.inf))


def _level(points: Points, line: float) -> float:
    """As `levels_crossed`, of the means themselves."""
    means, counts = _means(points)
    return float(levels_crossed(np.asarray(sorted(points), float), means[None], counts, np.asarray([line]))[0])


def _draws(
    points: Points, baseline: Sequence[float], drop: float, std: float, generator: np.random.Generator
) -> np.ndarray:
    levels = np.asarray(sorted(points), float)
    means, counts = _means(points)
    lines = _line(baseline, drop) + std / np.sqrt(len(baseline)) * generator.standard_normal(DRAWS)
    noise = generator.standard_normal((DRAWS, len(levels))) * std / np.sqrt(counts)
    return levels_crossed(levels, means + noise, counts, lines)


def _interval(draws: np.ndarray) -> tuple[float | None, float | None]:
    if not len(draws):
        return None, None
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail], method="inverted_cdf")
    return (float(low) if np.isfinite(low) else None), (float(high) if np.isfinite(high) else None)


def _estimate(value: float, draws: np.ndarray, levels: np.ndarray) -> Estimate:
    low, high = _interval(draws)
    # A curve that is below the line from the start crossed it before the first level: that side is open.
    low = None if low == 0.0 else low
    if np.isinf(value):
        return Estimate(None, low, None, "above", float(levels[-1]))
    if value == 0.0 and levels[0] == 0.0:
        return Estimate(None, None, high or None, "unreached", None)
    if value == 0.0:
        return Estimate(None, None, high, "below", float(levels[0]))
    return Estimate(value, low, high)

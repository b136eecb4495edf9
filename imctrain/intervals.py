"""Intervals of shares: how far a count of so many can be from what another draw would have given."""

from __future__ import annotations

CONFIDENCE = 0.95


def wilson(passed: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of the share `passed / count`: of images that are right, of dies that are good."""
    from scipy.stats import binomtest

    found = binomtest(passed, count).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)

"""Where a curve crosses its line: the same for many draws at once as for one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from imctrain.report.crossing import crossing, levels_crossed


def one(levels, means, counts, line):
    """The definition: the isotonic curve is followed to the first level below the line."""
    curve = isotonic_regression(means, weights=counts, increasing=False).x
    if curve[0] < line:
        return 0.0
    for i in range(1, len(levels)):
        if curve[i] < line:
            return levels[i - 1] + (curve[i - 1] - line) / (curve[i - 1] - curve[i]) * (levels[i] - levels[i - 1])
    return float("inf")


@pytest.mark.parametrize("number", [1, 2, 6])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.2], ids=["falls", "falls mostly", "any order"])
def test_many_draws_are_one_after_the_other(number, noise):
    generator = np.random.default_rng(number)
    levels = 0.5 * np.arange(number)
    means = 0.9 - 0.1 * levels + noise * generator.standard_normal((200, number))
    counts = generator.integers(1, 4, number).astype(float)
    lines = generator.uniform(0.6, 1.0, 200)
    expected = [one(levels, row, counts, line) for row, line in zip(means, lines, strict=True)]
    found = levels_crossed(levels, means, counts, lines)
    np.testing.assert_array_equal(found, expected)
    assert {0.0, float("inf")} <= set(found), "both ends are among the draws"
    assert number == 1 or np.any((found > 0) & np.isfinite(found))


def test_a_line_is_crossed_between_two_levels():
    estimate = crossing({0.0: [0.9], 1.0: [0.8], 2.0: [0.6]}, [0.85], 0.1, 0.0)
    assert estimate.value == pytest.approx(1.25)

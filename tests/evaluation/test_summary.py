"""Yields, intervals and spreads, against numbers that were worked out elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from imctrain.evaluation.summary import Levels, at_spread, summarise, yield_of
from imctrain.intervals import wilson
from imctrain.records.evaluation import DieResult
from imctrain.report.dies_figure import _wilson


def die(name, *accuracies, own=False):
    count = len(accuracies)
    return DieResult(
        name=name, own=own, overrides={}, accuracies=accuracies, losses=(0.0,) * count, seconds=(0.0,) * count
    )


def test_the_interval_is_wilsons():
    """Newcombe (Statistics in Medicine, 1998, table I): 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for passed, dies, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(passed, dies) == pytest.approx((low, high), abs=6e-5)


def test_the_band_of_the_figure_is_the_same_interval():
    for dies in (3, 20):
        lower, upper = _wilson(np.arange(dies + 1), dies)
        for passed in range(dies + 1):
            assert (lower[passed], upper[passed]) == pytest.approx(wilson(passed, dies), abs=1e-5)


def test_a_die_that_meets_the_bound_exactly_passes():
    found = yield_of(np.asarray([0.95, 0.93, 0.9299, 0.5]), "training die", 0.95, 2.0)
    assert (found.passed, found.dies, found.share) == (2, 4, 0.5)


def test_what_belongs_to_the_die_comes_with_its_error():
    dies = [die("training die", 0.9, 0.92, own=True), die("die 1", 0.8, 0.84), die("die 2", 0.7, 0.7)]
    found = summarise(dies, 0.95)
    assert found.own_accuracy == pytest.approx(0.91)
    assert (found.test_dies, found.mean) == (2, pytest.approx(0.76))
    assert found.std == pytest.approx(0.06 * np.sqrt(2))
    assert found.belongs_to_die == pytest.approx(0.15)
    assert found.belongs_to_die_error == pytest.approx(0.06)
    assert found.noise_std == pytest.approx(np.sqrt((2e-4 + 8e-4) / 3))
    assert [(one.below, one.points, one.passed) for one in found.yields] == [
        ("training die", 2.0, 0),
        ("training die", 10.0, 1),
        ("float baseline", 2.0, 0),
        ("float baseline", 10.0, 0),
    ]
    alone = summarise(dies[:1], None)
    assert (alone.test_dies, alone.mean, alone.yields, alone.belongs_to_die) == (0, None, (), None)


def test_yields_at_both_ends_of_the_spread_of_dies():
    from imctrain.calibration import load_calibration

    c = load_calibration("example-three-dies")

    def drawn(level, *accuracies):
        made = {"imc.chip.die_spread": level} if level else {}
        return [
            die(f"die {n}", x).replace(die_spread=level, overrides={"imc.chip.die": n} | made)
            for n, x in enumerate(accuracies)
        ]

    plain = [die("training die", 0.9, own=True), *drawn(None, 0.89, 0.7)]
    dies = [*plain, *drawn("low", 0.9, 0.88), *drawn("high", 0.6, 0.5)]
    levels = Levels((2.0,), (0.6,))
    assert summarise(dies, None, levels) == summarise(plain, None, levels)
    low, value, high = at_spread(dies, None, levels, c)
    assert [one.level for one in (low, value, high)] == ["low", "value", "high"]
    assert [one.passed for one in low.yields] == [2, 2]
    assert [one.passed for one in value.yields] == [1, 2]
    assert [one.passed for one in high.yields] == [0, 1]
    assert (high.measured_dies, high.gain_std) == (3, c.die_spread.gain_std_ci[1])
    # What a die needs is told by the training die, whatever the spread is.
    assert [one.yields[0].accuracy for one in (low, value, high)] == pytest.approx([0.88] * 3)
    assert at_spread(plain, None, levels, c) == []

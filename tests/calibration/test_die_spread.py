"""How well the spread of dies is known, and dies that are drawn with its low and its high."""

from __future__ import annotations

import numpy as np
import pytest
from real_chips import chip
from scipy.stats import chi2

from imctrain.calibration import load_calibration
from imctrain.calibration.schema.die_spread import (
    LEVELS,
    interval_of_std,
    measured_dies,
    spread_at,
    spread_bounds_unknown,
)
from imctrain.calibration.variation import die_figures
from imctrain.errors import UserError


def test_three_dies_leave_a_factor_of_half_to_six():
    assert interval_of_std(1.0, 3) == pytest.approx((0.5207, 6.2847), abs=1e-4)
    for count in (2, 5, 40):
        low, high = interval_of_std(0.3, count)
        assert chi2.cdf((count - 1) * 0.09 / low**2, count - 1) == pytest.approx(0.975)
        assert chi2.cdf((count - 1) * 0.09 / high**2, count - 1) == pytest.approx(0.025)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Of 4000 draws of three dies, 95 % within 5 standard errors of 0.34 %."""
    drawn = np.random.default_rng(5).standard_normal((4000, 3)).std(axis=1, ddof=1)
    low, high = interval_of_std(1.0, 3)
    assert np.mean((drawn * low < 1) & (drawn * high > 1)) == pytest.approx(0.95, abs=0.017)


def test_the_files_intervals_stand_and_are_filled_from_the_number_of_its_dies():
    c = load_calibration("example-three-dies")
    assert measured_dies(c) == 3
    low, value, high = (spread_at(c, level) for level in LEVELS)
    assert value == c.die_spread
    for end, place in ((low, 0), (high, 1)):
        assert end.gain_std == c.die_spread.gain_std_ci[place]
    bare = c.die_spread.model_copy(update={"gain_std_ci": None})
    filled = spread_at(c.model_copy(update={"die_spread": bare}), "high")
    assert filled.gain_std == pytest.approx(c.die_spread.gain_std_ci[1], rel=1e-5)
    unknown = c.model_copy(update={"die_spread": bare, "dies": None})
    assert "of how many measured dies" in spread_bounds_unknown(unknown)
    with pytest.raises(UserError, match=r"give die_spread\.gain_std_ci"):
        die_figures(unknown, 3, "high")
    assert (
        die_figures(unknown, 3).population.gain == die_figures(c.model_copy(update={"dies": None}), 3).population.gain
    )
    assert "has no die_spread" in spread_bounds_unknown(load_calibration("ideal"))


def test_a_die_is_the_same_place_in_a_wider_spread():
    c = load_calibration("example-three-dies")
    for number in (1, 7):
        at = {level: die_figures(c, number, level).population for level in LEVELS}
        mean = np.mean([die.gain_mean for die in c.dies])
        place = (at["value"].gain - mean) / c.die_spread.gain_std
        for level in LEVELS:
            assert at[level].gain == pytest.approx(mean + place * spread_at(c, level).gain_std)
        assert len({population.draw for population in at.values()}) == 1


def test_draws_stay_gains_where_the_spread_is_wider_than_the_gain():
    wide = chip().die_spread.model_copy(update={"gain_std": 1.0, "gain_std_ci": (1.0, 1.0)})
    gains = [die_figures(chip().model_copy(update={"die_spread": wide}), k).population.gain for k in range(1, 60)]
    assert min(gains) == 0.01
    assert max(gains) <= 4.0

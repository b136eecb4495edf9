"""Rows that stand for all combinations hold every combination of so many settings."""

from itertools import combinations, product

import pytest
from covering import covering

AXES = (["a", "b", "c"], [0, 1], [None, {}], [False, True], range(4))


@pytest.mark.parametrize("strength", [1, 2, 3, 5])
def test_any_axes_meet_in_every_combination(strength):
    rows = covering(strength, *AXES)
    for places in combinations(range(len(AXES)), strength):
        met = [tuple(row[place] for place in places) for row in rows]
        assert all(wanted in met for wanted in product(*(AXES[place] for place in places)))
    assert len(rows) < 96 or strength == len(AXES)


def test_rows_that_are_asked_for_come_first():
    first = [("c", 1, {}, True, 3), ("a", 0, None, False, 0)]
    rows = covering(2, *AXES, first=first)
    assert rows[:2] == first
    assert len(rows) < 24
    assert covering(2, *AXES, first=first) == rows

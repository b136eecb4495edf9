"""Some of all combinations: a fault of one, two or three settings together is met all the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import pytest
from tiers import slow

Row = tuple[Any, ...]


def covering(strength: int, *axes: Sequence[Any], first: Sequence[Row] = ()) -> list[Row]:
    """Rows of one value an axis, such that any `strength` axes meet in every combination of their values.

    All combinations of five settings cost a compilation each, and a fault that needs more than three of them is rare.
    In five bodies of failures, three settings or fewer were behind 87 to 99 % (Kuhn, Wallace and Gallo, "Software fault
    interactions and implications for software testing", IEEE TSE 30, 2004, and their page at NIST). Greedy: always the
    row that brings most combinations, the earliest of them.

    Args:
        first: rows that are taken whatever they bring.
    """
    places = list(combinations(range(len(axes)), strength))

    def brings(row: tuple[int, ...]) -> set[tuple[int, ...]]:
        return {(*place, *(row[axis] for axis in place)) for place in places}

    every = {row: brings(row) for row in product(*(range(len(axis)) for axis in axes))}
    missing = set[tuple[int, ...]]().union(*every.values())
    chosen = [tuple(list(axis).index(value) for axis, value in zip(axes, row, strict=True)) for row in first]
    for row in chosen:
        missing -= every[row]
    while missing:
        best = max(every, key=lambda row: len(every[row] & missing))
        missing -= every[best]
        chosen.append(best)
    return [tuple(axis[place] for axis, place in zip(axes, row, strict=True)) for row in chosen]


def covering_cases(strength: int, *axes: Sequence[Any], quick: Sequence[Row]) -> list[Any]:
    """`covering` for pytest: the rows `quick` belong to the quick tier, the others to test-all."""
    rows = covering(strength, *axes, first=quick)
    return [pytest.param(*row) for row in rows[: len(quick)]] + [slow(*row) for row in rows[len(quick) :]]

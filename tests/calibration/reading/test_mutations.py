"""Damaged lab files of every kind: conversions that are possible, or one line; never anything else."""

from __future__ import annotations

import random

import pytest
from fuzzed_tables import HOWS, STARTS, check, mutated
from tiers import slow


@pytest.mark.parametrize(("name", "rounds"), [(name, 4) for name in STARTS] + [slow(name, 100) for name in STARTS])
def test_damage_gives_conversions_or_one_line(tmp_path, name, rounds):
    rng = random.Random(f"{name}, {rounds} rounds")
    path = tmp_path / "m.csv"
    read = 0
    for number in range(rounds):
        path.write_bytes(mutated(STARTS[name], rng) if number else STARTS[name])
        read += sum(check(path, how) for how in (HOWS if number % 4 == 1 else HOWS[:2]))
    assert read >= 1

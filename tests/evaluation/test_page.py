"""docs/chips.md shows the numbers of the evaluations that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

import imctrain
from imctrain.cli.evaluation_table import of_the_die, percent, yield_line
from imctrain.evaluation.summary import at_conditions, summarise
from imctrain.records.evaluation import Evaluations

ROOT = Path(imctrain.__file__).parents[1]


@pytest.mark.parametrize("run", ["plain", "robust"])
def test_tables_are_those_of_the_kept_evaluations(run):
    page = " ".join((ROOT / "docs" / "chips.md").read_text(encoding="utf-8").split())
    kept = Evaluations.read(ROOT / "experiments" / "chips" / "results" / run / "evaluate.json").evaluations
    assert [one.name for one in kept] == ["as trained", "offsets recalibrated", "offsets, batch-norm recalibrated"]
    for one in kept:
        summary = summarise(one.dies, one.baseline_accuracy)
        assert summary == one.summary
        spread = (summary.mean, summary.std, summary.lowest, summary.highest, summary.noise_std)
        row = " ".join(filter(None, map(percent, spread)))
        assert f"{one.name} training die {percent(summary.own_accuracy)} 20 {row}" in page
    first, last = kept[0], kept[-1]
    assert f"as trained: {of_the_die(first)[0]}" in page
    shown = {
        "plain": [(first, first.summary.yields[0]), (last, last.summary.yields[1])],
        "robust": [(first, first.summary.yields[2])],
    }
    for one, found in shown[run]:
        assert f"{one.name}: {yield_line(found)}" in page


def test_the_table_of_conditions_is_that_of_the_kept_evaluation():
    page = " ".join((ROOT / "docs" / "chips.md").read_text(encoding="utf-8").split())
    file = ROOT / "experiments" / "chips" / "results" / "conditions" / "evaluate.json"
    (one,) = Evaluations.read(file).evaluations
    assert list(one.at_conditions) == at_conditions(one.dies)
    for at in one.at_conditions:
        row = " ".join(map(percent, (at.mean, at.std, at.lowest, at.highest)))
        assert f"at {at.conditions['temperature_c']:g} C training die {percent(at.own_accuracy)} 10 {row}" in page

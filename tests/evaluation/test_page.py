"""docs/chips.md shows the numbers of the evaluations that are kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import imctrain
from imctrain.cli.evaluation_table import of_the_die, of_the_spread, percent, yield_line, yield_lines
from imctrain.evaluation.summary import at_conditions, summarise
from imctrain.records.evaluation import Evaluations

ROOT = Path(imctrain.__file__).parents[1]
CIFAR10 = ROOT / "experiments" / "chips" / "cifar10"


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


def test_the_closed_loop_is_that_of_the_kept_evaluations():
    page = " ".join((ROOT / "docs" / "chips.md").read_text(encoding="utf-8").split())
    folder = ROOT / "experiments" / "chips" / "results"
    fitted, true = Evaluations.read(folder / "loop" / "evaluate.json").evaluations
    assert (fitted.overrides, fitted.calibration) == ({}, "fitted")
    assert true.calibration == "source-drawn"
    on_fitted, on_true = (
        {(die.overrides.get("imc.chip.die", "d0"), *sorted((die.conditions or {}).items())): die.accuracy for die in of}
        for of in (fitted.dies, true.dies)
    )
    conditions = list(dict.fromkeys(where[1:] for where in on_fitted))
    assert len(conditions) == 5
    for condition in conditions:
        at = dict(condition)
        name = f"{at['temperature_c']:g} C, {at['supply_v']:g} V" if at else "at the reference"
        pairs = [f"{percent(on_fitted[d, *condition])}, {percent(on_true[d, *condition])}" for d in ("d0", "d1", "d2")]
        assert f"| {name} | {' | '.join(pairs)} |" in page
    assert max(abs(on_fitted[where] - on_true[where]) for where in on_fitted) == pytest.approx(2 / 360)

    first, *_, last = Evaluations.read(folder / "loop-dies" / "evaluate.json").evaluations
    for line in (yield_lines(first)[0], *of_the_spread(first)):
        assert f"{first.name}: {line}" in page
    assert first.at_spread[-1].yields[0].low > 1 / 3
    assert min(level.yields[0].share for level in last.at_spread) == 0.95


def test_the_tables_on_cifar10_are_those_of_the_kept_evaluations():
    sys.path.insert(0, str(CIFAR10))
    try:
        import tables
    finally:
        sys.path.remove(str(CIFAR10))
    assert tables.filled() == (ROOT / "docs" / "chips.md").read_text(encoding="utf-8")
    assert len(tables.dies().splitlines()) > 5
    page = " ".join((ROOT / "docs" / "chips.md").read_text(encoding="utf-8").split())
    (before, after), (low, high) = tables.tuned("silicon"), tables.tuned("feasible")
    assert f"takes claim 1 from {percent(before)} to {percent(after)} %" in page
    assert f"claim 2 from {percent(low)} to {percent(high)} %, on all test images" in page
    (all_images,) = tables.kept("silicon-10k")
    own, mean = percent(all_images.summary.own_accuracy), percent(all_images.summary.mean)
    assert f"claim 1 has {own} % on the die that it was trained on and {mean} % on 50 others" in page
    (silicon, error), (feasible, small) = tables.gain_of_training("silicon"), tables.gain_of_training("feasible")
    brought = f"{silicon:.1f} +- {error:.1f} points at 1 LSB, and {feasible:.1f} +- {small:.1f} points at 0.25 LSB"
    assert f"An array brings {brought}" in page
    for one in tables.kept("silicon"):
        assert summarise(one.dies, one.baseline_accuracy).mean == one.summary.mean


def test_each_panel_of_conditions_names_its_own_lines(monkeypatch):
    """A colour is a supply in the one, a temperature in the other."""
    from imctrain.report import conditions_figure

    drawn = []
    monkeypatch.setattr(conditions_figure, "save_figure", lambda figure, target: drawn.append(figure))
    kept = Evaluations.read(CIFAR10 / "results" / "silicon-conditions" / "evaluate.json").evaluations
    conditions_figure.draw_conditions(kept, ROOT / "never.png")
    left, right = (
        {text.get_text().rpartition(" at ")[2] for text in axis.get_legend().get_texts()} for axis in drawn[0].axes
    )
    assert left == {"0.72 V", "0.8 V", "0.88 V"}
    assert right == {"-40 C", "25 C", "85 C"}

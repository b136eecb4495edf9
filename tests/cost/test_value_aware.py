"""An energy that knows the codes: what it scales, and where it finds them."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import pytest
from run_tools import call, write
from technology_tools import near

import imctrain
from imctrain import Hardware, on_imc
from imctrain.cost.events import Drive
from imctrain.cost.step import ChipPrices, step_cost, typical_drive
from imctrain.experiment.codes_driven import drives_of_reports
from imctrain.settings import ArraySpec
from imctrain.technology import load_technology

PRICES = ChipPrices(load_technology("laws-28nm"), None, 16)


def step(cell: str):
    function = on_imc(lambda w, x: x @ w, Hardware(array=ArraySpec(cell=cell)))
    return function.step(jax.ShapeDtypeStruct((300, 20), jnp.float32), jax.ShapeDtypeStruct((8, 300), jnp.float32))


@pytest.mark.parametrize(("cell", "switching"), [("and", 0.3), ("xnor", 1.0)])
def test_drivers_follow_codes_and_cells_their_swing(cell, switching):
    work = step(cell)
    fixed = step_cost(work, PRICES)
    (line,) = [line for line in work.lines if line.mvm == "weight_grad"]
    usual = typical_drive(line.spec, line.plan)
    measured = {("dot", "weight_grad"): (Drive(0.5 * usual.passes, 0.2), 0.3)}
    aware = step_cost(work, PRICES, measured)
    (before,) = [c for c in fixed.mvms if c.line.mvm == "weight_grad"]
    (after,) = [c for c in aware.mvms if c.line.mvm == "weight_grad"]
    saved = 0.5 * before.energy.dac.value + (1 - 0.2 * switching) * before.energy.array.value
    assert after.value_aware.value == near(before.energy.total.value - saved, rel=1e-9)
    assert aware.value_aware_j == near(aware.energy_step_j - saved, rel=1e-9)
    assert fixed.value_aware_j is None
    assert aware.energy_step_j == fixed.energy_step_j


def test_lines_of_metrics_are_averaged():
    lines = [
        {"a:driven_forward": 1.0, "a:swing_forward": 0.2, "a:cells_on_forward": 0.5, "a:snr_db_forward": 9.0},
        {"a:driven_forward": 2.0, "a:swing_forward": 0.4, "a:cells_on_forward": 0.7, "b:driven_forward": None},
        {"a:driven_forward": 9.0, "a:swing_forward": None, "a:cells_on_forward": 0.7},
    ]
    found = drives_of_reports(lines)
    assert found is not None
    assert found.keys() == {("a", "forward")}
    drive, on = found["a", "forward"]
    assert (drive.passes, drive.swing, on) == near((1.5, 0.3, 0.6))
    assert drives_of_reports([{"a:snr_db_forward": 9.0}]) is None


@pytest.mark.slow
def test_a_run_that_counts_its_codes_is_priced_with_them(tmp_path, monkeypatch, capsys):
    settings = ("cost.value_aware=true", "training.epochs=1", "training.log_every=1", "training.steps=2")
    overrides = [part for setting in settings for part in ("--set", setting)]
    assert call(monkeypatch, "run", "-c", write(tmp_path), *overrides, "--out", str(tmp_path / "run")) == 0
    capsys.readouterr()
    assert call(monkeypatch, "cost", "--run", str(tmp_path / "run"), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    totals = found["totals"]
    result = imctrain.load_run(tmp_path / "run").result
    assert result.energy_value_aware_j == near(totals["energy_value_aware_j"])
    assert result.energy_step_j == near(totals["energy_step_j"])
    assert 0 < totals["energy_value_aware_j"] < totals["energy_step_j"]
    for site in found["sites"]:
        assert (site["energy_value_aware_j"] is not None) == (site["path"] == "exact")

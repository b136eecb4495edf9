"""`imctrain sweep file --set`, `--dry-run` and `--estimate`."""

from __future__ import annotations

import pytest
from kept_results import write_result
from run_tools import call

from imctrain.errors import UserError
from imctrain.sweep.estimate import estimate, planned
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.spec import read_sweep
from imctrain.sweep.train import plan

CONFIG = """
name = "tiny"
data = { name = "digits", batch_size = 32, train_limit = 256 }
model = { name = "mlp", width = 4 }
training = { epochs = 3 }
"""
SWEEP = """
name = "noise"
config = "tiny.toml"
seeds = [0, 1]
[set]
"training.epochs" = 4
[axes]
"imc.noise.sigma_lsb" = [0.5, 1.0]
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "tiny.toml").write_text(CONFIG)
    (tmp_path / "noise.sweep.toml").write_text(SWEEP)
    return tmp_path / "noise.sweep.toml"


def test_set_goes_over_the_files_own(file):
    spec = read_sweep(file).with_set({"training.epochs": 2, "model.width": 8}, "--set")
    configs = [one.trial.config for one in planned(spec, SweepFolder(file.parent / "out"))]
    assert len(configs) == 2 + 2 * 2
    assert {(config.training.epochs, config.model.width) for config in configs} == {(2, 8)}
    with pytest.raises(UserError, match=r"--set imc.noise.sigma_lsb: the sweep itself says"):
        spec.with_set({"imc.noise.sigma_lsb": 1.0}, "--set")


def test_a_dry_run_lists_and_writes_nothing(file, monkeypatch, capsys):
    out = file.parent / "out"
    assert call(monkeypatch, "sweep", "file", file, "--out", out, "--set", "model.width=5", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "float, seed 0: waiting"
    assert "trial, sigma_lsb 1.0, seed 1: waiting" in lines
    assert lines[-2:] == ["6 trials, 0 of them done", "nothing was trained or written"]
    assert not out.exists()
    assert call(monkeypatch, "sweep", "file", file, "--out", out, "--set", "model.nothing=5", "--dry-run") == 2
    assert "model.nothing" in capsys.readouterr().err


def test_an_estimate_counts_measured_steps_and_joules(file):
    asked = []

    def time_step(config, home):
        asked.append((config.imc.path, home))
        return (0.5, 10.0) if config.imc.path == "float" else (2.0, 40.0)

    trials = planned(read_sweep(file), SweepFolder(file.parent / "out"))
    lines = estimate(trials, file.parent, 2, time_step)
    # Two kinds of steps; 256 images in batches of 32 for 4 epochs are 32 steps: 2 x 26 s and 4 x 104 s.
    assert len(asked) == 2
    assert lines[0] == "6 trials, 0 of them done: 6 to train"
    assert lines[1].startswith("time: 8 min of training one after the other, about 4 min with 2 at a time")
    assert "6 from steps of 2 kind(s), measured now on this machine" in lines[1]
    assert "on the chip" in lines[2]
    assert "cost model, laws-28nm" in lines[2]


def test_an_estimate_prefers_trials_that_are_done(file):
    folder = SweepFolder(file.parent / "out")
    spec = read_sweep(file)
    plan(folder, spec)
    before = planned(spec, folder)
    for one in before[:3]:
        run = folder.trial(folder.key(one.trial.config, file.parent))
        run.folder.mkdir(parents=True)
        write_result(run.folder, seconds=50.0, compile_seconds=10.0)
    trials = planned(spec, folder)
    assert [one.state for one in trials] == ["done"] * 3 + ["waiting"] * 3
    lines = estimate(trials, file.parent, 1, lambda config, home: pytest.fail("a trial of that kind is done"))
    assert lines[0] == "6 trials, 3 of them done: 3 to train"
    assert lines[1].startswith("time: 3 min of training")
    assert "3 from 3 done trials of their kind" in lines[1]
    assert estimate([one for one in trials if one.state == "done"], file.parent, 1, time_step=None) == [
        "3 trials, 3 of them done: 0 to train"
    ]


@pytest.mark.slow
def test_the_command_measures_real_steps(file, monkeypatch, capsys):
    out = file.parent / "out"
    arguments = ("sweep", "file", file, "--out", out, "--set", "training.epochs=1", "--estimate", "--jobs", "1")
    assert call(monkeypatch, *arguments) == 0
    text = capsys.readouterr().out
    assert "measured now on this machine" in text
    assert "nothing was trained or written" in text
    assert not out.exists()

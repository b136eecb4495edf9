"""Interrupted and resumed runs end with the same bits as one that was left alone."""

from __future__ import annotations

import json
import shutil

import pytest
from run_tools import (
    BASELINE_BATCHES,
    BATCHES_AN_EPOCH,
    assert_same_bits,
    call,
    metrics,
    spawn_killed,
    write,
)
from tiers import slow

MAIN = BASELINE_BATCHES + BATCHES_AN_EPOCH  # batches before the second epoch of the main training


@pytest.mark.parametrize(
    ("after", "number", "code"),
    [
        slow(BATCHES_AN_EPOCH + 4, "SIGTERM", 143, id="SIGTERM in an epoch of the baseline"),
        slow(MAIN + 9, "SIGINT", 130, id="SIGINT in an evaluation"),
        slow(MAIN + 5, "SIGKILL", -9, id="SIGKILL in an epoch"),
    ],
)
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, monkeypatch, capsys, finished, after, number, code):
    out = tmp_path / "run"
    stopped = spawn_killed(after, number, "run", "--config", write(tmp_path), "--out", out)
    assert stopped.returncode == code, stopped.stderr
    assert not (out / "result.json").exists()
    if number != "SIGKILL":
        message = f"imctrain: stopped by {number}, saved; continue with: imctrain run --resume {out}\n"
        assert stopped.stderr.endswith(message)

    assert call(monkeypatch, "run", "--resume", out) == 0
    assert "continuing after step" in capsys.readouterr().out
    assert_same_bits(finished, out)
    assert_same_bits(finished / "baseline", out / "baseline")
    clock = ("seconds", "seconds_per_epoch", "compile_seconds", "baseline_seconds_per_epoch")
    first, second = (json.loads((folder / "result.json").read_text()) for folder in (finished, out))
    assert first.keys() == second.keys()
    assert {k: v for k, v in first.items() if k not in clock} == {k: v for k, v in second.items() if k not in clock}


def test_no_step_is_lost_or_repeated_in_the_metrics(finished):
    records = metrics(finished)
    assert [r["step"] for r in records if r["kind"] == "train"] == [3, 6, 8, 11, 14, 16, 19, 22, 24]
    assert [(r["epoch"], r["step"]) for r in records if r["kind"] == "epoch"] == [(1, 8), (2, 16), (3, 24)]


def test_a_cut_line_of_metrics_is_dropped_on_resume(tmp_path, monkeypatch, finished):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "result.json").unlink()
    with (out / "metrics.jsonl").open("a") as stream:
        stream.write('{"kind": "train", "st')
    assert call(monkeypatch, "run", "--resume", out) == 0
    assert_same_bits(finished, out)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path, monkeypatch, finished):
    config = write(tmp_path)
    assert call(monkeypatch, "run", "-c", config, "-o", tmp_path / "same", "--set", "baseline=false") == 0
    assert_same_bits(finished, tmp_path / "same")
    other = ("--set", "seed=1", "--set", "imc.path=float")
    assert call(monkeypatch, "run", "-c", config, "-o", tmp_path / "other", *other) == 0
    assert metrics(tmp_path / "other") != metrics(finished / "baseline")


@pytest.mark.slow
def test_sigterm_in_an_epoch_then_the_config_and_the_calibration_go(tmp_path, monkeypatch, finished):
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(finished / "calibration.json", project / "chip.json")
    out = tmp_path / "run"
    # A path in a config is relative to the config's folder, which is not the current one.
    relative = ("--set", "imc.calibration=chip.json")
    stopped = spawn_killed(MAIN + 5, "SIGTERM", "run", "-c", write(project), "-o", out, *relative)
    assert stopped.returncode == 143, stopped.stderr
    shutil.rmtree(project)
    assert call(monkeypatch, "run", "--resume", out) == 0
    assert_same_bits(finished, out)


def test_what_cannot_be_resumed_is_told(tmp_path, monkeypatch, capsys, finished):
    assert call(monkeypatch, "run", "--resume", tmp_path) == 2
    assert "holds no run (no config.toml)" in capsys.readouterr().err
    assert call(monkeypatch, "run", "--resume", finished) == 2
    assert "is finished already" in capsys.readouterr().err

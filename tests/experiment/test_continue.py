"""A resumed run is what its checkpoint says: edits are refused or listed, damaged checkpoints are passed over."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from run_tools import BASELINE_BATCHES, BATCHES_AN_EPOCH, assert_same_bits, call, metrics, spawn_killed, write

from imctrain.data import load
from imctrain.data.dataset import Split
from imctrain.experiment import run as runs
from imctrain.training.damage import ASIDE, SUMS, sums

LAST, BEFORE = 24, 21
"""Steps at the newest checkpoints of the finished run."""


@pytest.fixture
def stopped(tmp_path, finished) -> Path:
    """The tiny run as if it had been stopped after 21 of its 24 steps."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "result.json").unlink()
    shutil.rmtree(out / "checkpoints" / str(LAST))
    return out


def edit(out: Path, *changes: tuple[str, str], file: str = "config.toml") -> None:
    text = (out / file).read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (out / file).write_text(text)


def result(out: Path) -> dict:
    return json.loads((out / "result.json").read_text())


RATE = ("learning_rate = 0.1\n", "learning_rate = 0.05\n")


def test_every_edit_is_listed_with_both_values_and_nothing_is_written(stopped, monkeypatch, capsys):
    edit(stopped, RATE, ("seed = 0\nbaseline", "seed = 7\nbaseline"), ("headroom = 4.0", "headroom = 3.0"))
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file() and path.name != ".lock"}
    assert call(monkeypatch, "run", "--resume", stopped) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{stopped} does not say what its checkpoint of step {BEFORE} was trained with: " in error
    for told in ("training.learning_rate 0.1 -> 0.05", "seed 0 -> 7", "imc.adc.headroom 4.0 -> 3.0"):
        assert told in error
    assert "--accept-changes seed,training.learning_rate,imc.adc.headroom" in error
    assert {path: path.read_bytes() for path in before} == before
    # One of three is not enough.
    assert call(monkeypatch, "run", "--resume", stopped, "--accept-changes", "training,seed") == 2
    error = capsys.readouterr().err
    assert "imc.adc.headroom 4.0 -> 3.0" in error
    assert "learning_rate 0.1" not in error


@pytest.mark.slow
def test_an_accepted_change_is_in_the_result(stopped, monkeypatch, capsys, finished):
    edit(stopped, ("epochs = 3\n", "epochs = 4\n"), RATE)
    keys = "training.epochs,training.learning_rate"
    assert call(monkeypatch, "run", "--resume", stopped, "--accept-changes", keys) == 0
    assert f"changed from step {BEFORE} on: training.epochs 3 -> 4" in capsys.readouterr().out
    changed = [
        {"key": "training.epochs", "from": 3, "to": 4, "step": BEFORE},
        {"key": "training.learning_rate", "from": 0.1, "to": 0.05, "step": BEFORE},
    ]
    found = result(stopped)
    assert (found["changed"], found["epochs"], found["steps"]) == (changed, 4, 32)
    # The baseline was trained with the old ones, all of it.
    assert found["baseline_changed"] == [entry | {"step": LAST} for entry in changed]
    assert "changed" not in result(finished)
    # Another interruption, and nothing differs any more; what changed before is still told.
    (stopped / "result.json").unlink()
    assert call(monkeypatch, "run", "--resume", stopped, "--accept-changes", keys) == 0
    assert result(stopped)["changed"] == changed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("batch_size = 32\n", "batch_size = 16\n"), "data.batch_size 32 -> 16: put back"),
        (("width = 16\n", "width = 8\n"), "model.width 16 -> 8: put back"),
    ],
)
def test_what_steps_and_network_are_made_of_cannot_change(stopped, monkeypatch, capsys, change, says):
    edit(stopped, change)
    assert call(monkeypatch, "run", "--resume", stopped, "--accept-changes", "data,model") == 2
    error = capsys.readouterr().err
    assert says in error
    assert "or start a new run: " in error


def test_fewer_epochs_than_were_trained_are_no_training(stopped, monkeypatch, capsys):
    edit(stopped, ("epochs = 3\n", "epochs = 2\n"))
    assert call(monkeypatch, "run", "--resume", stopped, "--accept-changes", "training.epochs") == 2
    assert f"has {BEFORE} steps behind it, and its config wants 16 now" in capsys.readouterr().err


def test_an_edited_calibration_is_listed(stopped, monkeypatch, capsys):
    edit(stopped, ('"gain_std": 0.002', '"gain_std": 0.02'), file="calibration.json")
    assert call(monkeypatch, "run", "--resume", stopped) == 2
    error = capsys.readouterr().err
    assert "calibration.spread.gain_std 0.002 -> 0.02" in error
    assert "--accept-changes calibration (" in error


def test_other_data_under_the_same_name_is_noticed(stopped, monkeypatch, capsys):
    digits = load("digits")
    swapped = Split(digits.train.images, np.roll(digits.train.labels, 1))
    monkeypatch.setattr(runs, "load", lambda *_: dataclasses.replace(digits, train=swapped))
    assert call(monkeypatch, "run", "--resume", stopped) == 2
    error = capsys.readouterr().err
    assert f"data.content 1437 + 360 images, SHA-256 {digits.content[:12]} -> 1437 + 360 images, SHA-256 " in error
    fewer = Split(digits.train.images[:100], digits.train.labels[:100])
    monkeypatch.setattr(runs, "load", lambda *_: dataclasses.replace(digits, train=fewer))
    edit(stopped, ("train_limit = 256\n", "train_limit = 100\n"))
    assert call(monkeypatch, "run", "--resume", stopped, "--accept-changes", "data.content") == 2
    assert "data.train_limit cannot change" in capsys.readouterr().err


@pytest.mark.slow
def test_what_trains_nothing_may_change(stopped, monkeypatch, capsys, finished):
    edit(
        stopped,
        ('name = "tiny"\n', 'name = "other"\n'),
        ("keep = 2\n", "keep = 3\n"),
        ("memory_mib = 2\n", "memory_mib = 3\n"),
    )
    assert call(monkeypatch, "run", "--resume", stopped) == 0
    assert_same_bits(finished, stopped)
    assert "changed" not in result(stopped)


def test_a_finished_baseline_of_other_settings_is_not_taken(stopped, monkeypatch, capsys):
    shutil.rmtree(stopped / "checkpoints")
    edit(stopped, RATE)
    assert call(monkeypatch, "run", "--resume", stopped) == 2
    error = capsys.readouterr().err
    assert f"{stopped / 'baseline'} was trained with other settings: training.learning_rate 0.1 -> 0.05" in error
    assert f"delete {stopped / 'baseline'} to train it again" in error


@pytest.mark.slow
def test_a_checkpoint_of_an_older_version_goes_on_with_a_note(stopped, monkeypatch, capsys, finished):
    for folder in (stopped / "checkpoints").iterdir():
        (folder / SUMS).unlink()
        position = json.loads((folder / "position" / "metadata").read_text())
        del position["about"]
        (folder / "position" / "metadata").write_text(json.dumps(position))
    assert call(monkeypatch, "run", "--resume", stopped) == 0
    assert "a version of imctrain that wrote no config into it" in capsys.readouterr().out
    assert_same_bits(finished, stopped)


@pytest.mark.slow
def test_another_version_of_jax_is_told_and_listed(stopped, monkeypatch, capsys):
    for folder in (stopped / "checkpoints").iterdir():
        position = json.loads((folder / "position" / "metadata").read_text())
        now = position["about"]["environment"]["jax"]
        position["about"]["environment"]["jax"] = "0.1"
        (folder / "position" / "metadata").write_text(json.dumps(position))
        (folder / SUMS).write_text(json.dumps(sums(folder)))
    assert call(monkeypatch, "run", "--resume", stopped) == 0
    told = f"from step {BEFORE} on another environment (environment.jax 0.1 -> {now})"
    assert told in capsys.readouterr().out
    assert result(stopped)["changed"] == [{"key": "environment.jax", "from": "0.1", "to": now, "step": BEFORE}]


def test_keys_of_accepted_changes_are_checked(stopped, monkeypatch, capsys):
    assert call(monkeypatch, "run", "--resume", stopped, "--accept-changes", "training.epoch") == 2
    assert "--accept-changes training.epoch: there is no such key; the nearest is training.epochs" in (
        capsys.readouterr().err
    )
    assert call(monkeypatch, "run", "-c", "x.toml", "--accept-changes", "seed") == 2
    assert "--accept-changes goes with --resume" in capsys.readouterr().err


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_is_passed_over_and_told(tmp_path, monkeypatch, capsys, finished):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "result.json").unlink()
    newest = out / "checkpoints" / str(LAST)
    data = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    assert call(monkeypatch, "run", "--resume", out) == 0
    told = capsys.readouterr().out
    assert f"the checkpoint of step {LAST} is damaged ({data.relative_to(newest)} is not what was written)" in told
    assert f"going on from step {BEFORE} in its place, 3 steps are trained again" in told
    # The steps were trained again to the same bits, the metrics hold each once, and the checkpoint was saved anew.
    assert_same_bits(finished, out)
    assert (out / "checkpoints" / f"{ASIDE}{LAST}").is_dir()
    steps = [(record["kind"], record["step"]) for record in metrics(out)]
    assert len(set(steps)) == len(steps)


def test_a_damaged_result_is_set_aside_and_the_run_goes_on(tmp_path, monkeypatch, capsys, finished):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "result.json").write_text('{"test_accuracy": 0.')
    assert call(monkeypatch, "run", "--resume", out) == 0
    told = capsys.readouterr().out
    assert f"{out / 'result.json'} " in told
    assert "set aside as result.json.damaged, and the training goes on from its last checkpoint" in told
    assert (out / "result.json.damaged").read_text() == '{"test_accuracy": 0.'
    assert result(out)["test_accuracy"] == result(finished)["test_accuracy"]
    assert_same_bits(finished, out)
    # A good one is refused, and stays.
    assert call(monkeypatch, "run", "--resume", out) == 2
    assert "is finished already" in capsys.readouterr().err


def test_where_no_checkpoint_is_good_nothing_is_trained(stopped, monkeypatch, capsys):
    before = (stopped / "metrics.jsonl").read_bytes()
    for folder in (stopped / "checkpoints").iterdir():
        (folder / "state" / "manifest.ocdbt").write_bytes(b"")
    assert call(monkeypatch, "run", "--resume", stopped) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert (
        f"no checkpoint in {stopped / 'checkpoints'} can be read (step {BEFORE}: state/manifest.ocdbt has 0 " in error
    )
    assert (stopped / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_recording_is_of_what_was_trained(stopped, monkeypatch, capsys, tmp_path):
    edit(stopped, ("headroom = 4.0", "headroom = 3.0"))
    command = ("record", "--run", stopped, "--step", str(BEFORE), "--out", tmp_path / "out.npz")
    assert call(monkeypatch, *command) == 2
    error = capsys.readouterr().err
    assert f"does not say what its checkpoint of step {BEFORE} was trained with: imc.adc.headroom 4.0 -> 3.0" in error


@pytest.mark.slow
def test_killed_while_the_list_of_files_was_written(tmp_path, monkeypatch, capsys, finished):
    """SIGKILL in the third epoch, and what a kill between a checkpoint and its list would leave."""
    out = tmp_path / "run"
    after = BASELINE_BATCHES + 2 * BATCHES_AN_EPOCH + 5
    assert spawn_killed(after, "SIGKILL", "run", "-c", write(tmp_path), "-o", out).returncode == -9
    newest = max(int(path.name) for path in (out / "checkpoints").iterdir() if path.name.isdigit())
    (out / "checkpoints" / str(newest) / SUMS).unlink()
    (out / "checkpoints" / f"{newest + 1}.orbax-checkpoint-tmp-9").mkdir()
    assert call(monkeypatch, "run", "--resume", out) == 0
    assert f"the checkpoint of step {newest} is damaged ({SUMS} is missing" in capsys.readouterr().out
    assert_same_bits(finished, out)

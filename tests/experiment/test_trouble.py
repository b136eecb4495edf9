"""Divergence, full disks and unwritable folders: told in one line, and nothing that was saved is lost."""

from __future__ import annotations

import errno

import jax.numpy as jnp
import numpy as np
import pytest
from run_tools import assert_same_bits, call, state, write
from tiers import slow

from imctrain.errors import UserError
from imctrain.files import write_json
from imctrain.training import checkpoint, step
from imctrain.training.metrics import MetricsLog

FLOAT = ("--set", "imc.path=float")
ALONE = ("--set", "baseline=false")
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("path", [pytest.param(FLOAT, id="float"), slow(ALONE, id="exact")])
def test_a_hopeless_learning_rate_stops_the_run(tmp_path, monkeypatch, capsys, path):
    rate = ("--set", "training.learning_rate=1000.0")
    assert call(monkeypatch, "run", "-c", write(tmp_path), "-o", tmp_path / "run", *rate, *path) == 3
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("imctrain: training diverged at step 2: loss ")
    assert "no checkpoint yet; start again with a training.learning_rate below 1000" in message
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.slow
def test_values_that_are_not_finite_name_step_site_and_last_good_checkpoint(tmp_path, monkeypatch, capsys):
    health = step.health

    def sick(params, gradients, telemetry, logits):
        record = health(params, gradients, telemetry, logits)
        # Sites in sorted order: head, layer1, stem. The backward pass is what fails, from the middle on.
        return record._replace(backward=jnp.asarray([True, False, False]))

    out = tmp_path / "run"
    config = write(tmp_path)
    assert call(monkeypatch, "run", "-c", config, "-o", out, *ALONE, "--set", "training.epochs=1") == 0
    (out / "result.json").unlink()
    text = (out / "config.toml").read_text().replace("epochs = 1\n", "epochs = 2\n", 1)
    (out / "config.toml").write_text(text)
    monkeypatch.setattr(step, "health", sick)
    assert call(monkeypatch, "run", "--resume", out, "--accept-changes", "training.epochs") == 3
    message = capsys.readouterr().err.splitlines()[-1]
    assert "training diverged at step 9: loss " in message
    assert "values first are not finite at site layer1, backward" in message
    assert f"the last good checkpoint is step 8 in {out / 'checkpoints'}" in message
    assert all(np.all(np.isfinite(leaf)) for leaf in state(out).values())


@pytest.mark.slow
def test_a_full_disk_at_a_checkpoint_loses_nothing_that_was_saved(tmp_path, monkeypatch, capsys, finished):
    import orbax.checkpoint as ocp

    plain, saved = ocp.CheckpointManager.save, []

    def save(self, number, **arguments):
        if number == 15 and len(saved) > 0 and "baseline" not in str(self.directory):
            raise FULL
        saved.append(number)
        return plain(self, number, **arguments)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "save", save)
        assert call(patch, "run", "-c", write(tmp_path), "-o", out) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "checkpoint of step 15 cannot be written (No space left on device)" in error
    assert (
        f"what was saved before is intact: make room (or the folder writable), then continue with: imctrain run "
        f"--resume {out}" in error
    )
    assert not (out / "result.json").exists()
    assert state(out)
    assert call(monkeypatch, "run", "--resume", out) == 0
    assert_same_bits(finished, out)


@pytest.mark.slow
def test_a_full_disk_at_a_line_of_metrics_loses_nothing_that_was_saved(tmp_path, monkeypatch, capsys, finished):
    plain = MetricsLog.write

    def write_line(self, record):
        if record["step"] == 14 and "baseline" not in str(self.path):
            # What a full disk leaves: a part of the line.
            self._stream.write('{"kind": "tr')
            self._stream.flush()
            raise FULL
        plain(self, record)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", write_line)
        assert call(patch, "run", "-c", write(tmp_path), "-o", out) == 2
    error = capsys.readouterr().err
    assert f"{out}: No space left on device (" in error
    assert "bytes are free there); what was saved before is intact" in error
    assert call(monkeypatch, "run", "--resume", out) == 0
    assert_same_bits(finished, out)


def test_result_json_is_whole_or_not_there(tmp_path, monkeypatch):
    target = tmp_path / "result.json"
    write_json(target, {"old": 1})

    def full(descriptor):
        raise FULL

    monkeypatch.setattr("imctrain.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(target, {"new": list(range(1000))})
    assert target.read_text() == '{\n "old": 1\n}\n'


@pytest.mark.parametrize("path", [FLOAT, ALONE], ids=["float", "exact"])
def test_an_unwritable_folder_is_told_before_training(tmp_path, monkeypatch, capsys, path):
    config = write(tmp_path)
    assert call(monkeypatch, "run", "-c", config, "-o", config / "run", *path) == 2
    assert f"run folder {config / 'run'} cannot be written (Not a directory): choose another with --out" in (
        capsys.readouterr().err
    )


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path, monkeypatch, capsys, finished):
    before = sorted((path, path.stat().st_mtime_ns) for path in finished.rglob("*") if path.is_file())
    assert call(monkeypatch, "run", "-c", write(tmp_path), "-o", finished) == 2
    assert f"holds a run: continue it with --resume {finished}, or choose another --out" in capsys.readouterr().err
    assert sorted((path, path.stat().st_mtime_ns) for path in finished.rglob("*") if path.is_file()) == before


def test_a_checkpoint_of_another_network_is_told(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(3, {"a": np.zeros(2, np.float32)}, {"epoch": 1}, None)
    with pytest.raises(UserError, match=r"does not fit this run: a is float32 \(2,\), expected float32 \(3,\)"):
        checkpoints.restore({"a": np.zeros(3, np.float32)})
    checkpoints.close()

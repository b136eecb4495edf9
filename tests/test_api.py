"""Runs from Python: what a run's folder holds, and results as one table."""

from pathlib import Path

import pytest
from run_tools import write

import imctrain
from imctrain.errors import UserError
from imctrain.settings import load_kept_config

KEPT = Path(imctrain.__file__).parents[1] / "experiments" / "cifar10" / "results" / "reproduction"


def test_a_run_that_is_there(finished):
    run = imctrain.load_run(finished)
    assert run.config == load_kept_config(finished / "config.toml")
    assert 0 < run.result.test_accuracy <= 1
    training = run.metrics.filter(run.metrics["kind"] == "train")
    assert training["loss"].is_not_null().all()
    assert training["step"].is_sorted()
    assert run.hardware == imctrain.Hardware.from_calibration(
        finished / "calibration.json", **{name: getattr(run.config.imc, name) for name in ("array", "adc", "formats")}
    )
    assert imctrain.load_run(finished / "baseline").hardware is None


@pytest.mark.slow
def test_training_from_python_is_that_of_the_command(finished, tmp_path):
    """The same config gives the same network, to the same bits of its test accuracy and losses."""
    run = imctrain.train(write(tmp_path), out=tmp_path / "run", quiet=True)
    again = imctrain.load_run(finished)
    assert run.folder == tmp_path / "run"
    assert run.result.test_accuracy == again.result.test_accuracy
    assert run.metrics["loss"].to_list() == again.metrics["loss"].to_list()
    with pytest.raises(UserError, match="holds a run: continue it with --resume"):
        imctrain.train(write(tmp_path), out=tmp_path / "run", quiet=True)


def test_a_folder_without_a_run_and_a_run_without_a_result(tmp_path, finished):
    with pytest.raises(UserError, match="holds no run"):
        imctrain.load_run(tmp_path)
    (tmp_path / "config.toml").write_text((finished / "config.toml").read_text())
    run = imctrain.load_run(tmp_path)
    assert run.result is None
    with pytest.raises(UserError, match="no metrics yet"):
        _ = run.metrics
    lines = (finished / "metrics.jsonl").read_text()
    (tmp_path / "metrics.jsonl").write_text(lines + '{"kind": "tra')
    assert len(imctrain.load_run(tmp_path).metrics) == len(lines.splitlines())
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        imctrain.load_run(tmp_path)


def test_all_results_below_a_folder():
    frame = imctrain.load_results(KEPT)
    claims = frame.filter((frame["sweep"] == "claims") & (frame["variant"] == "silicon"))
    assert claims["seed"].to_list() == [0, 1, 2]
    assert 0.74 < claims["test_accuracy"].mean() < 0.75
    noise = frame.filter(frame["sweep"] == "noise")
    assert set(noise["imc.noise.sigma_lsb"].drop_nulls()) >= {0.5, 1.0, 2.0}
    assert frame.filter(frame["reference"] == "float")["path"].unique().to_list() == ["float"]
    with pytest.raises(UserError, match="no run below"):
        imctrain.load_results(KEPT / "plan")


def test_a_config_from_python(tmp_path):
    config = imctrain.load_config(write(tmp_path), ["training.epochs=2"])
    assert config.training.epochs == 2
    with pytest.raises(UserError, match=r"training\.epoch is an unknown key"):
        imctrain.load_config(write(tmp_path), ["training.epoch=2"])

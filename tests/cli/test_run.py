"""`imctrain run`: what it refuses before anything is written, what it prints, what a run folder holds."""

from __future__ import annotations

import json
import sys
import tomllib

import pytest
from PIL import Image
from run_tools import TINY, call, metrics, spawn, write

from imctrain.settings import config_hash, load_config
from imctrain.training.checkpoint import Checkpoints


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.epoch=3", "training.epoch is an unknown key; the nearest is training.epochs"),
        (
            "data.batch_size=300",
            "data.batch_size = 300 is more than the 256 training images of digits: make it smaller",
        ),
        ("data.name=cifar", "data set 'cifar' is not prepared in "),
        ("model.name=mpl", "model 'mpl' is not known (did you mean mlp?)"),
        ("cost.technology=nowhere", "technology 'nowhere' not found: give the path of a technology JSON or one of"),
        ("imc.calibration=nowhere", "calibration 'nowhere' not found: give the path of a calibration JSON or one of"),
        ('imc.rules=[{match="sten", path="float"}]', "rule 'sten' matches no site; nearest of 3 sites: stem"),
        ('imc.rules=[{match="stem", overrides={"adc.bit"=3}}]', "'adc.bit' is no hardware key; nearest: adc.bits"),
        ('imc.rules=[{match="stem", overrides={adc={bits=1}}}]', "adc.bits = 1 is not possible: allowed is 2 to 24"),
        ('imc.rules=[{match="stem"}]', "rule 'stem' changes nothing: give a path or overrides"),
        (
            "imc.array.segment_rows=5000",
            "imc.array.segment_rows = 5000 is not possible: allowed is 1 to array.rows (wi",
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, monkeypatch, capsys, override, says):
    config = write(tmp_path)
    assert call(monkeypatch, "run", "-c", config, "-o", tmp_path / "run", "--set", override) == 2
    err = capsys.readouterr().err
    assert err.startswith("imctrain: ")
    assert says in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


def test_a_missing_data_set_says_which_command_prepares_it(tmp_path, monkeypatch, capsys):
    overrides = ("--set", "data.name=fashion_mnist", "--set", f"data.data_dir={tmp_path}")
    assert call(monkeypatch, "run", "-c", write(tmp_path), *overrides) == 2
    assert f"run `imctrain data import fashion_mnist PATH --data-dir {tmp_path}`" in capsys.readouterr().err


def test_the_result_has_what_a_reader_looks_for(finished):
    result = json.loads((finished / "result.json").read_text())
    epochs = [record for record in metrics(finished) if record["kind"] == "epoch"]
    baseline = json.loads((finished / "baseline" / "result.json").read_text())
    config = load_config(finished / "config.toml")
    expected = {
        "test_accuracy": epochs[-1]["test_accuracy"],
        "best_test_accuracy": max(record["test_accuracy"] for record in epochs),
        "baseline_test_accuracy": baseline["test_accuracy"],
        "epochs": 3,
        "path": "exact",
        "dataset": "digits",
        "model": "mlp",
        "seed": 0,
        "config_hash": config_hash(config),
        "clipped_fraction": epochs[-1]["clipped"],
        "calibration": "feasible-assumed",
        "calibration_provenance": "assumed",
    }
    assert {key: result[key] for key in expected} == expected
    assert 0 <= result["clipped_fraction"] < 0.01
    assert result["energy_training_j"] == pytest.approx(result["steps"] * result["energy_step_j"])
    assert sum(result["energy_components_j"].values()) == pytest.approx(result["energy_step_j"])
    low, high = result["energy_step_band_j"]
    assert 0 < low <= result["energy_step_j"] <= high
    assert (result["cost_technology"], result["cost_provenance"]) == ("laws-28nm", "assumed")
    # Of the baseline nothing is on the array: FP32, which INT8 is not compared with.
    assert baseline["energy_step_j"] > result["energy_components_j"]["adc"]
    assert baseline["energy_components_j"]["adc"] == 0
    assert baseline["digital_int8_ratio"] is None
    assert 0 < 3 * result["seconds_per_epoch"] <= result["seconds"] + 0.01
    assert baseline["path"] == "float"
    assert baseline["clipped_fraction"] is None
    assert baseline["config_hash"] != result["config_hash"]


def test_the_folder_holds_config_environment_and_ledger(finished, tmp_path):
    config = load_config(finished / "config.toml")
    assert config == load_config(write(tmp_path))
    assert tomllib.loads((finished / "config.toml").read_text())["training"]["momentum"] == 0.9, (
        "defaults are spelt out"
    )
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["versions"]["jax"] == sys.modules["jax"].__version__
    assert environment["devices"]
    assert environment["command"][-2:] == ["--out", str(finished)]
    sites = json.loads((finished / "ledger.json").read_text())
    assert [record["site"] for record in sites] == ["stem", "layer1", "head"]
    assert (finished / "ledger.md").read_text().count("| stem |") == 2


def test_metrics_hold_every_quantity(finished):
    records = metrics(finished)
    train = [record for record in records if record["kind"] == "train"][-1]
    assert {"step", "epoch", "loss", "accuracy", "gradient_norm", "clipped", "worst_snr_db", "sites"} <= set(train)
    assert train["sites"]["stem:snr_db_forward"] > 0
    assert train["worst_snr_db"] == min(v for k, v in train["sites"].items() if ":snr_db" in k)
    epoch = [record for record in records if record["kind"] == "epoch"][-1]
    assert {"loss", "accuracy", "test_accuracy", "test_loss", "clipped"} <= set(epoch)


def test_the_learning_curve_is_a_picture(finished):
    with Image.open(finished / "learning_curve.png") as picture:
        picture.load()
        assert min(picture.size) > 400
        assert len(picture.convert("L").getcolors(256)) > 20


def test_the_last_two_checkpoints_and_the_best_are_kept(finished):
    checkpoints = Checkpoints(finished / "checkpoints")
    kept = checkpoints._manager.all_steps()
    checkpoints.close()
    accuracies = {record["step"]: record["test_accuracy"] for record in metrics(finished) if "test_accuracy" in record}
    best = max(sorted(accuracies), key=lambda step: (accuracies[step], step))
    assert set(kept) == {21, 24, best}


def test_lines_elsewhere_than_in_a_terminal_are_whole(finished):
    lines = (finished.parent / "stdout").read_text().splitlines()
    assert lines[:2] == ["loading jax ...", "loading data set digits ..."]
    assert lines[2].startswith("mlp (float baseline): 1,514 parameters, 8 steps an epoch; compiling ")
    final = [line for line in lines if line.startswith("mlp (exact) epoch 3/3: loss ")]
    assert len(final) == 1
    assert "test accuracy" in final[0]
    assert final[0].endswith(" s")
    assert lines[-1].endswith(f"results in {finished}")
    assert lines[-2].startswith("on the chip the training takes ")
    assert "fJ/MAC, digital INT8 takes x" in lines[-2]


def events(folder):
    """{tag: steps} of TensorBoard events."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[int]] = {}
    for path in folder.glob("events.out.tfevents.*"):
        content = path.read_bytes()
        while content:
            # A record is its length (8 bytes, and 4 of checksum), the data, 4 bytes of checksum.
            size = int.from_bytes(content[:8], "little")
            event, content = Event.FromString(content[12 : 12 + size]), content[16 + size :]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    return found


def test_tensorboard_events_hold_the_metrics(finished):
    found = events(finished / "events")
    assert found["epoch/test_accuracy"] == [8, 16, 24]
    assert found["train/loss"] == [3, 6, 8, 11, 14, 16, 19, 22, 24]


@pytest.mark.slow
def test_without_tensorboard_a_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    short = ("--set", "imc.path=float", "--set", "training.epochs=1")
    assert call(monkeypatch, "run", "-c", write(tmp_path), "-o", tmp_path / "run", *short) == 0
    assert not (tmp_path / "run" / "events").exists()
    assert json.loads((tmp_path / "run" / "result.json").read_text())["test_accuracy"] > 0


@pytest.mark.slow
def test_a_run_may_end_within_an_epoch_and_keep_checkpoints_by_time(tmp_path, monkeypatch):
    out = tmp_path / "run"
    settings = ("imc.path=float", "training.steps=11", "checkpoint={every_seconds=1e-9, keep=4}")
    overrides = [part for setting in settings for part in ("--set", setting)]
    assert call(monkeypatch, "run", "-c", write(tmp_path), "-o", out, "--seed", "5", *overrides) == 0
    result = json.loads((out / "result.json").read_text())
    assert (result["epochs"], result["steps"], result["seed"]) == (2, 11, 5)
    records = metrics(out)
    assert [r["step"] for r in records if r["kind"] == "train"] == [3, 6, 8, 11]
    assert [(r["epoch"], r["step"]) for r in records if r["kind"] == "epoch"] == [(1, 8), (2, 11)]
    checkpoints = Checkpoints(out / "checkpoints")
    kept = checkpoints._manager.all_steps()
    checkpoints.close()
    best = max((r for r in records if r["kind"] == "epoch"), key=lambda r: (r["test_accuracy"], r["step"]))["step"]
    assert set(kept) == {8, 9, 10, 11, best}


@pytest.mark.slow
def test_auto_says_which_mvms_were_statistical(tmp_path, monkeypatch):
    settings = ("imc.path=auto", "imc.noise={sigma_lsb=0.6, mismatch=false}", "imc.adc={range_policy='fixed'}")
    rule = 'imc.rules=[{match="[hl]*", overrides={"noise.scale"=0.1}}]'
    overrides = [part for key in (*settings, rule, "training.epochs=1", "baseline=false") for part in ("--set", key)]
    assert call(monkeypatch, "run", "-c", write(tmp_path), "-o", tmp_path / "run", *overrides) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["sites"] == dict.fromkeys(("stem", "layer1", "head"), "auto")
    shares = result["statistical_share"]
    assert shares["stem"] == {"forward": 1.0, "weight_grad": 1.0}
    assert set(shares["head"].values()) == {0.0}


def test_the_default_folder_is_named_after_the_run(tmp_path, monkeypatch):
    config = write(tmp_path, TINY.replace('"tiny"', '"mine"'))
    monkeypatch.chdir(tmp_path)
    short = ("--set", "imc.path=float", "--set", "training.epochs=1")
    assert call(monkeypatch, "run", "-c", config.name, *short) == 0
    [folder] = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("mine-20")


@pytest.mark.slow
def test_in_a_terminal_a_live_line_shows_the_rest(tmp_path):
    script = "import pty, sys; sys.exit(pty.spawn([sys.executable, '-m', 'imctrain.cli', *sys.argv[1:]]) >> 8)"
    short = ("--set", "training.epochs=2", "--set", "baseline=false")
    done = spawn(
        "run", "-c", write(tmp_path), "-o", tmp_path / "run", *short, script=script, COLUMNS="160", TERM="xterm"
    )
    assert done.returncode == 0, done.stdout
    for part in ("compiling ...", "mlp (exact) epoch 2/2", "images/s", "clipped", "worst SNR", "16/16"):
        assert part in done.stdout

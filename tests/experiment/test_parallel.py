"""A run on four devices trains as a run on one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from run_tools import call, metrics, spawn, write
from tiers import slow

FOUR = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
SHORT = ["training.epochs=1", "training.warmup_epochs=1", "training.log_every=1", "baseline=false"]
QUIET = ["imc.calibration=ideal", "imc.formats.gradient_rounding=nearest"]


@pytest.mark.parametrize(
    "settings",
    [
        slow(["imc.path=float"], id="float"),
        slow(["imc.path=digital", *QUIET], id="digital"),
        # Without noise and at few bits, voltages lie halfway between codes: the compiler decides which one they get.
        slow(["imc.path=exact", *QUIET, "imc.adc.bits=16"], id="exact"),
        slow(["imc.path=exact"], id="exact, noise and stochastic rounding"),
    ],
)
def test_four_devices_train_as_one(tmp_path, monkeypatch, settings):
    config = write(tmp_path)
    arguments = [part for key in (*SHORT, *settings) for part in ("--set", key)]
    four = spawn("run", "-c", config, "-o", tmp_path / "four", *arguments, **FOUR)
    assert four.returncode == 0, four.stderr
    devices = json.loads((tmp_path / "four" / "environment.json").read_text())["devices"]
    assert len(devices) == 4
    assert call(monkeypatch, "run", "-c", config, "-o", tmp_path / "one", *arguments) == 0
    one, four = ([r for r in metrics(tmp_path / name) if r["kind"] == "train"] for name in ("one", "four"))
    # The first step sees the same weights: only the order of sums differs. A last bit of a float becomes a whole code
    # of a format now and then, and of an eight-bit converter, whose LSB is larger, already in the first step.
    first = 0.02 if settings == ["imc.path=exact"] else 1e-3
    for key in ("loss", "gradient_norm"):
        np.testing.assert_allclose(four[0][key], one[0][key], rtol=first, err_msg=key)
    tolerance = 1e-4 if "imc.path=float" in settings else 0.05
    np.testing.assert_allclose([r["loss"] for r in four], [r["loss"] for r in one], rtol=tolerance)
    evaluated = [metrics(tmp_path / name)[-1]["test_loss"] for name in ("one", "four")]
    np.testing.assert_allclose(evaluated[1], evaluated[0], rtol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["data.batch_size", "data.eval_batch_size"])
def test_a_batch_that_does_not_divide_is_told(tmp_path, key):
    done = spawn("run", "-c", write(tmp_path), "-o", tmp_path / "run", "--set", f"{key}=30", **FOUR)
    assert done.returncode == 2
    assert f"{key} = 30 does not divide over 4 devices: choose a multiple of 4" in done.stderr
    assert not (tmp_path / "run").exists()

"""Trainings that start from a trained network."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from run_tools import assert_same_bits, call, spawn_killed, state, write

import imctrain
from imctrain.data import load
from imctrain.errors import UserError
from imctrain.experiment.initial import initial_from, kept_initial
from imctrain.experiment.setup import set_up
from imctrain.training.stored import flat

NO_BASELINE = ("--set", "baseline=false")


def test_the_first_step_begins_with_the_networks_bits(finished, tmp_path):
    """Parameters, batch statistics and what sites carry; the optimizer begins anew."""
    config = imctrain.load_config(write(tmp_path))
    start = set_up(config, load("digits"), initial=initial_from(finished))
    kept, begun = state(finished), flat(start.steps.initial)
    same = [name for name in begun if name.partition("/")[0] in ("params", "rest", "sites") and "telemetry" not in name]
    assert len(same) > 20
    for name in same:
        np.testing.assert_array_equal(begun[name], kept[name], err_msg=name)
    momentum = [name for name in begun if name.startswith("optimizer/") and begun[name].ndim == 2]
    assert momentum
    assert not any(begun[name].any() for name in momentum)
    assert any(kept[name].any() for name in momentum)
    assert start.init.fresh_sites == ()


def test_sites_of_another_structure_start_afresh_and_are_told(finished, tmp_path):
    config = imctrain.load_config(
        write(tmp_path), ['imc.rules=[{match="head", path="float"}]', "imc.mapping.gradient=bit_serial"]
    )
    start = set_up(config, load("digits"), initial=initial_from(finished))
    assert "head" not in start.steps.initial.sites
    assert set(start.init.fresh_sites) == {"stem", "layer1"}
    float_start = set_up(config, load("digits"), initial=initial_from(finished / "baseline"))
    assert set(float_start.init.fresh_sites) == {"stem", "layer1"}


def test_a_network_that_does_not_fit_names_its_first_parameter(finished, tmp_path):
    config = imctrain.load_config(write(tmp_path), ["model.width=8"])
    shapes = r"params/head/dense/kernel/value is float32 \(16, 10\) in it, the network has float32 \(8, 10\)"
    with pytest.raises(UserError, match=shapes):
        set_up(config, load("digits"), initial=initial_from(finished))

    trained = initial_from(finished).trained
    bias = "params/head/dense/bias/value"
    less = replace(trained, arrays={name: value for name, value in trained.arrays.items() if name != bias})
    with pytest.raises(UserError, match=f"does not fit this network: {bias} is not in it"):
        less.module()
    more = replace(trained, arrays={**trained.arrays, "params/tail/value": np.ones(3, np.float32)})
    with pytest.raises(UserError, match="which has no params/tail/value"):
        more.module()


@pytest.mark.slow
def test_a_run_from_a_network_stops_and_goes_on_as_one(finished, tmp_path, monkeypatch, capsys):
    config = write(tmp_path)
    source = tmp_path / "net.npz"
    assert call(monkeypatch, "export", finished, "--out", source) == 0
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert call(monkeypatch, "run", "-c", config, "-o", whole, "--init", source, *NO_BASELINE) == 0
    assert f"starting from {source} (step 24)" in capsys.readouterr().out
    told = imctrain.load_run(whole).result.init
    assert (told.source, told.step, told.fresh_sites) == (str(source), 24, ())

    stopped = spawn_killed(4, "SIGTERM", "run", "-c", config, "-o", cut, "--init", source, *NO_BASELINE)
    assert stopped.returncode == 143, stopped.stderr
    source.unlink()
    assert call(monkeypatch, "run", "--resume", cut) == 0
    assert_same_bits(whole, cut)
    assert imctrain.load_run(cut).result.init == told

    # A folder whose network was taken away, or put in the place of another, does not go on.
    (cut / "result.json").unlink()
    shutil.move(cut / "init.npz", tmp_path / "init.npz")
    assert call(monkeypatch, "run", "--resume", cut) == 2
    assert f"init {told.sha256[:20]}" in capsys.readouterr().err


def test_a_copy_that_was_changed_is_refused(finished, tmp_path):
    initial_from(finished).keep(tmp_path)
    assert kept_initial(tmp_path).trained.sha256 == initial_from(finished).trained.sha256
    arrays = dict(np.load(tmp_path / "init.npz"))
    assert json.loads(str(arrays["result"]))["source"] == str(finished)
    arrays["params/head/dense/bias/value"] = arrays["params/head/dense/bias/value"] + 1
    np.savez(tmp_path / "init.npz", **arrays)
    with pytest.raises(UserError, match=r"init\.npz is damaged"):
        kept_initial(tmp_path)


def test_init_and_resume_exclude_each_other(finished, monkeypatch, capsys):
    assert call(monkeypatch, "run", "--resume", finished, "--init", finished) == 2
    assert "--init and --track cannot be given with it" in capsys.readouterr().err

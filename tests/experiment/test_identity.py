"""What a run is, and how two differ: config, calibration, data, environment."""

from __future__ import annotations

import copy
import dataclasses

import pytest
from run_tools import TINY, write

from imctrain.calibration import load_calibration
from imctrain.data import load
from imctrain.errors import UserError
from imctrain.experiment.continuing import check_keys
from imctrain.experiment.identity import differences, environment_differences, identity
from imctrain.settings import load_config


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def of(tmp_path, digits, *overrides, calibration="feasible-assumed"):
    return identity(load_config(write(tmp_path, TINY), overrides), digits, load_calibration(calibration))


def told(before, now):
    return [str(difference) for difference in differences(before, now)]


def test_what_trains_nothing_is_no_difference(tmp_path, digits):
    before = of(tmp_path, digits)
    free = (
        "name=x",
        "baseline=false",
        "tensorboard=false",
        "checkpoint.keep=9",
        "data.data_dir=/x",
        "imc.memory_mib=9",
    )
    assert told(before, of(tmp_path, digits, *free)) == []


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed=3", "seed 0 -> 3"),
        ("training.clip_norm=2.0", "training.clip_norm none -> 2.0"),
        ("imc.mvms=[]", 'imc.mvms ["forward", "input_grad", "weight_grad"] -> []'),
        ("imc.calibration=ideal", "imc.calibration feasible-assumed -> ideal"),
        ("data.augment.flip=true", "data.augment.flip false -> true"),
        ("data.eval_batch_size=90", "data.eval_batch_size 180 -> 90"),
        ('imc.rules=[{match="stem", path="float"}]', "imc.rules.0.match none -> stem"),
    ],
)
def test_what_trains_is_a_difference(tmp_path, digits, override, says):
    assert says in told(of(tmp_path, digits), of(tmp_path, digits, override))


def test_an_array_that_a_float_run_does_not_have_is_no_difference(tmp_path, digits):
    before = of(tmp_path, digits, "imc.path=float")
    assert told(before, of(tmp_path, digits, "imc.path=float", "imc.adc.bits=6")) == []
    assert told(before, of(tmp_path, digits, "imc.path=digital")) == ["imc.path float -> digital"]


def test_a_key_that_only_one_version_knows_differs_where_it_is_not_the_default(tmp_path, digits):
    old = of(tmp_path, digits)
    del old.config["imc"]["array"]["chop"]
    assert told(old, of(tmp_path, digits)) == []
    assert told(old, of(tmp_path, digits, "imc.array.chop=true")) == ["imc.array.chop false -> true"]
    # A key that was dropped since.
    older = copy.deepcopy(old)
    older.config["imc"]["array"]["stacked"] = 3
    assert told(older, of(tmp_path, digits)) == ["imc.array.stacked 3 -> none"]


def test_a_calibration_is_compared_by_content(tmp_path, digits):
    chip = load_calibration("vlsi21-28nm-assumed")
    config = load_config(write(tmp_path, TINY))
    lsb = (*chip.inl.lsb[:-1], 0.25)
    other = chip.model_copy(update={"notes": "x", "inl": chip.inl.model_copy(update={"lsb": lsb})})
    noted = chip.model_copy(update={"notes": "something else"})
    before = identity(config, digits, chip)
    assert told(before, identity(config, digits, noted)) == []
    (difference,) = told(before, identity(config, digits, other))
    assert difference.startswith("calibration.inl.lsb 17 values, SHA-256 ")


def test_data_and_environment(tmp_path, digits):
    before = of(tmp_path, digits)
    (difference,) = told(before, of(tmp_path, dataclasses.replace(digits, known_content="0" * 64)))
    assert difference.startswith("data.content 1437 + 360 images, SHA-256 ")
    now = copy.deepcopy(before)
    now.environment.update(jax="9.9", devices="8 x gpu:H100")
    assert told(before, now) == []
    assert [d.key for d in environment_differences(before, now)] == ["environment.jax", "environment.devices"]


def test_keys_that_may_be_accepted():
    check_keys(["training.epochs", "training", "calibration", "calibration.noise", "data.content", "imc.rules.0.match"])
    for wrong in ("trainin", "training.epoch", "calib"):
        with pytest.raises(UserError, match="there is no such key; the nearest is"):
            check_keys([wrong])

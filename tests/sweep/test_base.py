"""A folder calls no two experiments by one sweep's name: the second is refused when it is planned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from run_tools import call, write

import imctrain
from imctrain.errors import UserError
from imctrain.sweep import train as sweeps
from imctrain.sweep.base import marks_of
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.spec import expand, make_spec

BASE = """
data = { name = "digits", train_limit = 256 }
model = { name = "mlp", width = 16 }
training = { epochs = 2 }
imc.path = "exact"
imc.calibration = "ideal"
imc.array = { replicate = true }
"""
SIGMA = "imc.noise.sigma_lsb"
NAMED_APART = r"give this sweep a name of its own \(--name, or `name` in its file\), or a folder of its own with --out"


def spec(tmp_path, text=BASE, *, levels=(0.5, 1.0), file="base.toml", **more):
    config = write(tmp_path, text, file)
    data = {"name": "noise", "config": str(config), "axes": {SIGMA: levels}} | more
    return make_spec(data, "test")


@pytest.fixture
def folder(tmp_path):
    found = SweepFolder(tmp_path / "out")
    sweeps.plan(found, spec(tmp_path))
    return found


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.files.plans.iterdir()}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"mlp"', '"cnn5"', "model.name mlp -> cnn5"),
        ("epochs = 2", "epochs = 4", "training.epochs 2 -> 4"),
        ("train_limit = 256", "train_limit = 128", "data.train_limit 256 -> 128"),
        ("imc.array = { replicate = true }", "imc.adc.bits = 6", "imc.adc.bits none -> 6"),
    ],
)
@pytest.mark.parametrize("marked", [True, False], ids=["new", "planned by an older version"])
def test_another_experiment_under_the_name_is_refused(tmp_path, folder, old, new, told, marked):
    if not marked:
        forget_marks(folder)
    before = contents(folder)
    with pytest.raises(UserError, match=NAMED_APART) as error:
        sweeps.plan(folder, spec(tmp_path, BASE.replace(old, new), levels=(1.0, 2.0)))
    assert told in str(error.value)
    assert f"sweep 'noise' in {folder.path} holds trials of another experiment (" in str(error.value)
    assert contents(folder) == before
    # Under a name of its own it is welcome.
    sweeps.plan(folder, spec(tmp_path, BASE.replace(old, new), levels=(1.0, 2.0), name="other"))
    assert len(contents(folder)) > len(before)


def forget_marks(folder):
    for path in folder.files.plans.iterdir():
        content = json.loads(path.read_text())
        for label in content["labels"].values():
            del label["base"], label["curve"]
        path.write_text(json.dumps(content))


@pytest.mark.parametrize("marked", [True, False], ids=["new", "planned by an older version"])
def test_what_extends_a_sweep_is_no_other_experiment(tmp_path, folder, marked):
    if not marked:
        forget_marks(folder)
    count = len(folder.keys())
    for more in (
        {"levels": (2.0, 4.0)},
        {"seeds": (1, 2)},
        {"references": ("digital",)},
        {"axes": {SIGMA: (0.5,), "imc.mapping.gradient": ("grouped", "balanced")}},
        {"variants": {"xnor": {"imc.array.cell": "xnor"}}},
    ):
        sweeps.plan(folder, spec(tmp_path, **more))
        assert len(folder.keys()) > count, more
        count = len(folder.keys())
    # The same config elsewhere, written otherwise.
    sweeps.plan(folder, spec(tmp_path, "name = 'x'\ntensorboard = false\n" + BASE, file="moved.toml", levels=(8.0,)))


def test_a_sweep_that_is_planned_anew_as_a_whole_is_one_sweep(tmp_path, folder):
    sweeps.plan(folder, spec(tmp_path, BASE.replace("epochs = 2", "epochs = 4")))
    labels = [json.loads(path.read_text())["labels"]["noise"] for path in folder.files.plans.iterdir()]
    assert len(labels) == 3
    assert len({label["base"] for label in labels}) == 1


def test_a_variant_that_means_something_else_at_other_levels_is_refused(tmp_path):
    folder = SweepFolder(tmp_path / "out")
    plain, changed = ({"v": {"imc.mapping.gradient": mapping}} for mapping in ("grouped", "bit_serial"))
    sweeps.plan(folder, spec(tmp_path, variants=plain))
    with pytest.raises(UserError, match=r"imc\.mapping\.gradient grouped -> bit_serial"):
        sweeps.plan(folder, spec(tmp_path, levels=(2.0,), variants=changed))
    sweeps.plan(folder, spec(tmp_path, levels=(0.5, 1.0), variants=changed))
    sweeps.plan(folder, spec(tmp_path, levels=(2.0,), variants=changed))


def test_another_chip_of_the_same_file_name_is_refused(tmp_path):
    shipped = Path(imctrain.__file__).parents[1] / "calibration" / "ideal.json"
    chip, text = tmp_path / "chip.json", BASE.replace('"ideal"', '"chip.json"')
    shutil.copy(shipped, chip)
    folder = SweepFolder(tmp_path / "out")
    sweeps.plan(folder, spec(tmp_path, text))
    chip.write_text(chip.read_text().replace('"notes": "', '"notes": "As measured. '))
    sweeps.plan(folder, spec(tmp_path, text, levels=(2.0,)))
    chip.write_text(chip.read_text().replace('"bits": 8', '"bits": 7'))
    with pytest.raises(UserError, match="holds trials of another experiment"):
        sweeps.plan(folder, spec(tmp_path, text, levels=(4.0,)))


def test_marks_tell_base_and_variants_apart(tmp_path):
    def marks(text=BASE, **more):
        found = spec(tmp_path, text, **more)
        return marks_of(found, expand(found))

    (base,) = {mark["base"] for mark in marks()}
    assert {mark["base"] for mark in marks(levels=(3.0,), seeds=(4, 5))} == {base}
    assert {mark["base"] for mark in marks(set={"training.epochs": 3})} != {base}
    # An explicit default is no other base.
    assert {mark["base"] for mark in marks(set={"training.momentum": 0.9})} == {base}
    assert len({mark["curve"] for mark in marks(variants={"a": {}, "b": {"imc.adc.bits": 6}})}) == 2


def test_the_command_says_what_to_do(tmp_path, folder, monkeypatch, capsys):
    other = write(tmp_path, BASE.replace('"mlp"', '"cnn5"'), "other.toml")
    command = ("sweep", "noise", "-c", other, "--sigma", "2", "--out", folder.path)
    assert call(monkeypatch, *command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "model.name mlp -> cnn5" in error
    assert "--name" in error

"""`imctrain new` writes a project that trains as it stands, and overwrites nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from run_tools import call, spawn

from imctrain.experiment.own_sources import sources_of
from imctrain.settings import load_config

FILES = {"config.toml", "model.py", "make_data.py", "chip.json"}


def test_nothing_that_is_there_is_overwritten(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "a" / "mine"
    assert call(monkeypatch, "new", folder) == 0
    assert {path.name for path in folder.iterdir()} == FILES
    assert f"imctrain run -c {folder / 'config.toml'}" in capsys.readouterr().out
    (folder / "model.py").write_text("mine")
    (folder / "chip.json").unlink()
    assert call(monkeypatch, "new", folder) == 2
    error = capsys.readouterr().err
    assert error == (
        f"imctrain: {folder} has config.toml, make_data.py, model.py: choose another folder, or overwrite them with "
        "--force\n"
    )
    assert (folder / "model.py").read_text() == "mine"
    assert not (folder / "chip.json").exists()
    assert call(monkeypatch, "new", folder, "--force") == 0
    assert "class Net" in (folder / "model.py").read_text()


def test_its_config_names_its_own_files(tmp_path, monkeypatch):
    assert call(monkeypatch, "new", tmp_path) == 0
    config = load_config(tmp_path / "config.toml")
    sources = sources_of(config, tmp_path)
    assert {role: source.main for role, source in sources.items()} == {"model": "model.py", "optimizer": "model.py"}
    assert config.imc.calibration == "chip.json"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    assert call(monkeypatch, "new", tmp_path / "file" / "x") == 2
    assert "cannot be written (Not a directory): choose another folder" in capsys.readouterr().err


@pytest.mark.slow
def test_the_project_trains_at_once_and_on_its_own_images(tmp_path, monkeypatch):
    """The commands that it prints and that make_data.py names, copied from there."""
    monkeypatch.setenv("JAX_NUMPY_DTYPE_PROMOTION", "standard")
    home = tmp_path / "mine"
    assert spawn("new", home).returncode == 0
    done = spawn("run", "-c", home / "config.toml", "-o", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["test_accuracy"] > 0.8
    assert result["baseline_test_accuracy"] > 0.9
    made = subprocess.run([sys.executable, home / "make_data.py"], capture_output=True, text=True, check=True)
    assert "1437 images" in made.stdout
    data = "--data-dir", tmp_path / "data"
    done = spawn("data", "import", "mine", home / "images", *data)
    assert done.returncode == 0, done.stderr
    chosen = "--set", "data.name=mine", "--set", f"data.data_dir={tmp_path / 'data'}", "--set", "training.epochs=1"
    done = spawn("run", "-c", home / "config.toml", *chosen, "-o", tmp_path / "own")
    assert done.returncode == 0, done.stderr

"""Shipped experiments run by name, from a checkout and from a wheel."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
from run_tools import call

import imctrain
from imctrain.errors import UserError
from imctrain.settings import load_config, shipped
from imctrain.settings.shipped import about, find_config, shipped_configs

ROOT = Path(imctrain.__file__).parents[1]


def test_all_of_experiments_but_sweeps_and_results():
    found = shipped_configs()
    assert {"quickstart", "cifar10/cnn5-exact", "cifar10/paper-scale/vgg9"} <= found.keys()
    assert not [name for name in found if "sweep." in name or "results" in name or name == "digits-search"]
    for path in found.values():
        load_config(path)


def test_the_wheel_has_the_same(tmp_path, monkeypatch):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for source, target in included.items():
        if (ROOT / source).is_file():
            (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, tmp_path / target)
    names = list(shipped_configs())
    monkeypatch.setattr(shipped, "shipped", lambda folder: tmp_path / "imctrain" / "shipped" / folder)
    assert list(shipped_configs()) == names
    assert find_config(Path("quickstart")).is_relative_to(tmp_path)


def test_a_file_of_the_user_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert imctrain.load_config("quickstart").name == "quickstart"
    Path("quickstart.toml").write_text('name = "mine"')
    assert imctrain.load_config("quickstart").name == "mine"
    Path("quickstart").write_text('name = "bare"')
    assert imctrain.load_config("quickstart").name == "bare"


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(UserError, match=r"no shipped experiment of that name; did you mean quickstart\?"):
        find_config(Path("quikstart"))


def test_the_list_says_what_each_is(monkeypatch, capsys):
    assert call(monkeypatch, "run", "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(shipped_configs())
    assert all(len(line.split()) > 4 for line in lines), lines
    first = next(line for line in lines if line.startswith("quickstart"))
    assert first.endswith("on the exact array, with noise and mismatch")
    assert about(shipped_configs()["cifar10/cnn5-paths"]).startswith("cnn5 on a part of CIFAR-10 with 0.5 LSB of noise")


@pytest.mark.slow
def test_a_command_takes_the_name(monkeypatch, capsys):
    assert call(monkeypatch, "cost", "-c", "quickstart") == 0
    assert "uJ" in capsys.readouterr().out

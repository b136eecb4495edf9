"""Paths that no file can have are told in a line wherever they are given; an account needs no home."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from run_tools import call

from imctrain import paths
from imctrain.calibration import load_calibration
from imctrain.errors import UserError
from imctrain.technology import load_technology

LONG = "a" * 300
NOBODY = "~nobody-has-this-name/x.json"


def test_names_that_no_file_can_have_are_no_files(tmp_path):
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for path in (Path(LONG), circle, tmp_path / "nothing"):
        assert not paths.is_file(path)
        assert not paths.is_folder(path)
    assert paths.is_folder(tmp_path)
    assert paths.is_file(Path(__file__))


@pytest.mark.parametrize("load", [load_calibration, load_technology])
@pytest.mark.parametrize(("name", "told"), [(LONG, "not found"), (NOBODY, "there is no home folder of ~nobody-has")])
def test_from_python_they_are_the_users_mistake(load, name, told):
    with pytest.raises(UserError, match=told):
        load(name)


@pytest.mark.parametrize(
    "command",
    [
        ["run", "-c", LONG],
        ["run", "--resume", LONG],
        ["run", "-c", "quickstart", "--init", LONG, "-o", "OUT"],
        ["run", "-c", "quickstart", "-o", LONG],
        ["run", "-c", "quickstart", "--set", f"model.name={LONG}.py:Net", "-o", "OUT"],
        ["run", "-c", "quickstart", "--set", f"data.data_dir={NOBODY}", "--set", "data.name=cifar10", "-o", "OUT"],
        ["inspect", "-c", "quickstart", "--set", f"imc.calibration={NOBODY}"],
        ["cost", "-c", "quickstart", "--technology", LONG],
        ["evaluate", LONG],
        ["export", LONG, "--out", "OUT.npz"],
        ["report", LONG],
        ["results", LONG],
        ["plot", LONG, "--x", "seed"],
        ["pareto", LONG],
        ["claims", LONG],
        ["record", "--run", LONG, "--out", "OUT.npz"],
        ["mapping-snr", LONG],
        ["calibrate", LONG],
        ["calibrate", NOBODY],
        ["chip", "sample", "--calibration", LONG, "--out", "OUT.csv"],
        ["new", LONG],
        ["data", "list", "--data-dir", LONG],
        ["data", "import", "mine", LONG],
        ["data", "import", "mine", NOBODY],
        ["sweep", "file", LONG, "--out", "OUT"],
        ["sweep", "search", LONG, "--out", "OUT"],
        ["sweep", "resume", LONG],
        ["sweep", "pack", LONG],
    ],
    ids=lambda command: " ".join(part for part in command if part not in (LONG, NOBODY))[:40],
)
def test_every_command_tells_them_in_a_line(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *command) == 2
    told = capsys.readouterr().err.removeprefix("compiling one step ...\n")
    assert told.startswith("imctrain: ")
    assert told.count("\n") == 1
    assert "internal error" not in told
    assert list(tmp_path.iterdir()) == []


def test_a_cache_without_a_home_lies_among_temporary_files(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(paths.tempfile, "tempdir", None)
    monkeypatch.setattr(Path, "home", _no_home)
    folder = paths.cache_folder("xla")
    assert folder == tmp_path / f"imctrain-{os.getuid()}" / "xla"
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (tmp_path / "imctrain-12345").mkdir()
    with pytest.raises(UserError, match="is another user's: set HOME or XDG_CACHE_HOME"):
        paths.cache_folder("xla")


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")

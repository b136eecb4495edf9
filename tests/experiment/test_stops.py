"""A run that is told to stop, in any way that systems have, is saved; what environments ask of jax is heard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from run_tools import KILLED, TINY, assert_same_bits, call, spawn, spawn_killed, write

import imctrain
from imctrain.experiment.new_folder import new_folder
from imctrain.settings import Config


def test_runs_of_one_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {new_folder(Config(), None) for _ in range(3)}
    assert len(folders) == 3
    assert all(folder.is_dir() and folder.parent == Path("runs") for folder in folders)


@pytest.mark.slow
def test_a_warned_run_is_saved_and_goes_on_to_the_same_bits(tmp_path, finished, monkeypatch):
    """By SIGUSR1. SIGHUP is heard, too: training/test_signals.py."""
    cut = tmp_path / "cut"
    stopped = spawn_killed(35, "SIGUSR1", "run", "-c", write(tmp_path), "-o", cut)
    assert stopped.returncode == 128 + signal.SIGUSR1, stopped.stderr
    assert "stopped by SIGUSR1, saved; continue with" in stopped.stderr
    assert call(monkeypatch, "run", "--resume", cut) == 0
    assert_same_bits(finished, cut)


@pytest.mark.slow
def test_an_ignored_hangup_does_not_stop_a_run(tmp_path):
    """As under `nohup`."""
    command = f"trap '' HUP; exec {sys.executable} - 4 SIGHUP run -c {write(tmp_path)} -o {tmp_path / 'r'}"
    done = subprocess.run(
        ["bash", "-c", command],
        input=KILLED,
        env=os.environ | {"PYTHONPATH": str(Path(imctrain.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_run_whose_reader_goes_is_saved(tmp_path, finished, monkeypatch):
    cut = tmp_path / "cut"
    command = [sys.executable, "-m", "imctrain.cli", "run", "-c", str(write(tmp_path)), "-o", str(cut)]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(Path(imctrain.__file__).parents[1]), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stdout:
        if "compiling" in line:
            break
    process.stdout.close()
    told = process.stderr.read()
    assert process.wait(timeout=300) == 128 + signal.SIGPIPE, told
    assert "stopped by SIGPIPE, saved" in told
    assert call(monkeypatch, "run", "--resume", cut) == 0
    assert_same_bits(finished, cut)


@pytest.mark.slow
def test_a_device_that_is_not_here_is_told_in_a_line(tmp_path):
    done = spawn("run", "-c", write(tmp_path), "-o", tmp_path / "r", JAX_PLATFORMS="cuda")
    if done.returncode == 0:
        pytest.skip("there is a GPU here")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "JAX_PLATFORMS=cuda: jax finds no GPU here" in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_a_healthy_run_passes_what_jax_is_asked_to_look_for(tmp_path, finished):
    asked = {"JAX_DEBUG_NANS": "1", "JAX_NUMPY_RANK_PROMOTION": "raise"}
    done = spawn("run", "-c", write(tmp_path, TINY), "-o", tmp_path / "r", **asked)
    assert done.returncode == 0, done.stderr
    assert_same_bits(finished, tmp_path / "r")

"""Where nothing is as at home: another user without a name or a home, an install that is read-only, no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import imctrain

ROOT = Path(imctrain.__file__).resolve().parents[1]
USER = "54321"
# A user of its own, who may mount: the install becomes read-only and there is no network. Then one who may do nothing.
BARE = (
    'mount --bind "$ROOT" "$ROOT" && mount -o remount,bind,ro "$ROOT" && exec unshare --user --map-user=$USER '
    'env -i PATH="$PATH" TMPDIR="$TMPDIR" PYTHONPATH="$ROOT" XLA_FLAGS="$XLA_FLAGS" "$@"'
)


def bare(place: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """A command in the folder `place`, which is all that it may write to."""
    (place / "tmp").mkdir(exist_ok=True)
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "--net", "bash", "-c", BARE, "bare", *map(str, command)],
        env=os.environ | {"ROOT": str(ROOT), "USER": USER, "TMPDIR": str(place / "tmp")},
        cwd=place,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def imctrain_bare(place: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return bare(place, sys.executable, "-m", "imctrain.cli", *arguments)


@pytest.fixture
def place(tmp_path):
    try:
        probe = bare(tmp_path, "sh", "-c", f"id -u; touch {ROOT}/written; ls /sys/class/net; echo ~")
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if probe.returncode:
        pytest.skip(f"this machine lets nobody make namespaces: {probe.stderr.strip()}")
    assert "Read-only file system" in probe.stderr
    assert probe.stdout.startswith(USER)
    return tmp_path


@pytest.mark.slow
def test_a_network_is_trained_reported_and_evaluated(place):
    settings = ["training.epochs=1", "data.train_limit=128", "imc.path=auto", "baseline=false"]
    done = imctrain_bare(place, "run", "-c", "quickstart", *(f"--set={setting}" for setting in settings))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (run,) = (place / "runs").iterdir()
    assert json.loads((run / "result.json").read_text())["test_accuracy"] > 0.1
    assert (place / "tmp" / f"imctrain-{USER}" / "xla").is_dir(), "steps are kept compiled without a home, too"
    for command in (["evaluate", run, "--dies", "1", "--images", "180"], ["report", "runs"], ["results", "runs"]):
        done = imctrain_bare(place, *command)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_what_needs_the_network_says_so(place):
    done = imctrain_bare(place, "data", "import", "mnist")
    assert done.returncode == 2
    assert done.stderr.startswith("imctrain: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_where_nothing_may_be_written_is_told(place):
    done = imctrain_bare(place, "run", "-c", "quickstart", "--out", ROOT / "not-here")
    assert done.returncode == 2
    assert "Read-only file system" in done.stderr
    assert done.stderr.count("\n") == 1

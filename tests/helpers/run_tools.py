"""A tiny experiment, and ways to run it: in this process, in another, and killed at a chosen moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import can_fork, run_forked

import imctrain
from imctrain.cli import main

# Eight steps and two evaluation batches an epoch; every batch goes through `DataParallel.batch` once.
TINY = """
name = "tiny"
baseline = true
data = { name = "digits", batch_size = 32, eval_batch_size = 180, train_limit = 256 }
model = { name = "mlp", width = 16 }
training = { epochs = 3, log_every = 3 }
imc.array = { replicate = true }
imc.adc = { range_policy = "per_site" }
checkpoint = { every_steps = 3 }
"""
BATCHES_AN_EPOCH = 10
BASELINE_BATCHES = 3 * BATCHES_AN_EPOCH

KILLED = """
import os, signal, sys
from imctrain.training.parallel import DataParallel
left, number = int(sys.argv.pop(1)), getattr(signal, sys.argv.pop(1))
plain = DataParallel.batch
def batch(self, *arrays):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), number)
    return plain(self, *arrays)
DataParallel.batch = batch
from imctrain.cli import main
main()
"""

Cli = Callable[..., int]


def write(folder: Path, text: str = TINY, name: str = "tiny.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """`imctrain ARGUMENTS` in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["imctrain", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def spawn(
    *arguments: str | Path, script: str | None = None, fresh: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`imctrain ARGUMENTS` in a process of its own; `script` in place of the command, its arguments first.

    The process is forked from one that has imported everything, but where the environment says how it is imported, or
    a test asks for a `fresh` interpreter, since it sees what is imported.
    """
    asked = os.environ | environment
    home = {"PYTHONPATH": str(Path(imctrain.__file__).parents[1])}
    words = list(map(str, arguments))
    if can_fork(asked) and not fresh:
        with tempfile.TemporaryDirectory() as folder:
            return run_forked(words, asked | home, Path(folder), script)
    command = ["-m", "imctrain.cli"] if script is None else ["-c", script]
    return subprocess.run(
        [sys.executable, *command, *words],
        env=asked | home,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def spawn_killed(after: int, number: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A process that gets signal `number` as its batch `after` (from 1) goes to the device."""
    return spawn(str(after), number, *arguments, script=KILLED)


def metrics(folder: Path) -> list[dict[str, Any]]:
    """Records of a run's metrics without what depends on the clock."""
    clock = ("images_per_second", "seconds")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in clock} for line in lines]


def state(folder: Path, step: int | None = None) -> dict[str, np.ndarray]:
    """Arrays of a run's checkpoint (the newest one by default), read without the classes that made it."""
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager((folder / "checkpoints").absolute()) as manager:
        found = manager.restore(
            manager.latest_step() if step is None else step, args=ocp.args.Composite(state=ocp.args.StandardRestore())
        )
    return dict(found.state)


def assert_same_bits(a: Path, b: Path) -> None:
    """Two runs ended with the same arrays, through the same metrics."""
    first, second = state(a), state(b)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert metrics(a) == metrics(b)

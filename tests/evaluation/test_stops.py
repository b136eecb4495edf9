"""An evaluation that is told to stop keeps what was measured and goes on from there.

Which signals are heard: training/test_signals.py.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from run_tools import spawn

DIES = ("training die", "die 1", "die 2")
TOLD = """
import os, signal, sys
from imctrain.evaluation.evaluator import Evaluator
left, number = int(sys.argv.pop(1)), sys.argv.pop(1)
plain = Evaluator.measure
def measure(self, *arguments):
    global left
    left -= 1
    if left == 0 and number == "SIGPIPE":
        import imctrain.output as output
        os.close(1)
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, 1)
        print("to nobody", flush=True)
    elif left == 0:
        os.kill(os.getpid(), getattr(signal, number))
    return plain(self, *arguments)
Evaluator.measure = measure
from imctrain.cli import main
main()
"""
"""As the measurement of the number in the first argument begins, what the second one names happens."""


def measured(folder: Path) -> dict[str, object]:
    (one,) = json.loads((folder / "evaluate.json").read_text())["evaluations"]
    return {die["name"]: die["accuracies"] for die in one["dies"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGPIPE"])
def test_an_evaluation_that_is_stopped_keeps_what_it_has_and_goes_on(tmp_path, finished, name):
    command = ["evaluate", finished, "--dies", "2", "--images", "180", "--out", tmp_path / "dies"]
    stopped = spawn("3", name, *command, script=TOLD)
    assert stopped.returncode == 128 + getattr(signal, name), stopped.stderr
    assert f"stopped by {name}; what was measured is in {tmp_path / 'dies'}: run it again" in stopped.stderr
    first = measured(tmp_path / "dies")
    assert tuple(first) == DIES[:2]
    again = spawn(*command)
    assert again.returncode == 0, again.stderr
    whole = measured(tmp_path / "dies")
    assert tuple(whole) == DIES
    assert {name: whole[name] for name in first} == first

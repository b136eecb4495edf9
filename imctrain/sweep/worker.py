"""One trial in this process: begun, or continued from its newest checkpoint.

`python -m imctrain.sweep.worker DIR KEY [--cores 0,1]` is what the local pool starts. Exit codes are those of
`imctrain run`; whatever says that the trial itself cannot be trained is written to its failed.json.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from imctrain.errors import UserError
from imctrain.garbage import collect_less_often
from imctrain.records.lock import is_claimed
from imctrain.settings import load_kept_config
from imctrain.sweep.folder import DIVERGED, SweepFolder
from imctrain.sweep.trial import same_training

PARENT_SECONDS = 2.0
ASKED_SECONDS = 0.5
BUSY = 75
"""Exit code (that of a temporary failure) where another process trains the trial."""


def train(sweep: SweepFolder, key: str, keep_checkpoints: bool = False) -> int:
    """Train one planned trial to its end; returns the exit code of `imctrain run`.

    A trial that is done already is left as it is, and so is one that another process trains or a search has stopped.
    """
    if sweep.trial(key).pruned.is_file() and not sweep.trial(key).is_finished:
        return 0
    from imctrain.experiment.jax_setup import prepare_jax

    collect_less_often()
    try:
        prepare_jax()
    except UserError as error:
        # Of this machine, not of the trial: it is tried again.
        return _failed(sweep, key, str(error), 1)
    from rich.console import Console

    from imctrain.experiment import run as runs
    from imctrain.training.loop import Diverged
    from imctrain.training.signals import Interrupted

    trial = sweep.trial(key)
    console = Console(highlight=False, force_terminal=False, width=200)
    place = runs.Place()
    try:
        if not trial.is_finished:
            sweep.forgive(key)
            if trial.is_run:
                _require_planned(sweep, key)
                runs.resume(trial.folder, console, place)
            else:
                runs.start(sweep.config(key), trial.folder, sweep.path, console, place)
        if not keep_checkpoints:
            # The result stands; a sweep of a hundred trials must not fill the disk.
            shutil.rmtree(trial.checkpoints, ignore_errors=True)
        return 0
    except Interrupted as stopped:
        return stopped.code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Diverged as error:
        return _failed(sweep, key, str(error), DIVERGED)
    except UserError as error:
        if is_claimed(trial.folder):
            # Another pool on this folder was first: the trial is in good hands.
            print(f"imctrain: {error}", file=sys.stderr)
            return BUSY
        return _failed(sweep, key, str(error), 2)
    except Exception as error:
        return _failed(sweep, key, f"{type(error).__name__}: {' '.join(str(error).split())[:500]}", 1)


def _require_planned(sweep: SweepFolder, key: str) -> None:
    """A trial that was begun must be the one that is planned: its folder may have been edited since."""
    begun = sweep.trial(key).config
    differs = same_training(load_kept_config(begun), sweep.config(key))
    if differs is not None:
        raise UserError(
            f"trial {key} is planned with another {differs} than {begun} says: put back what it was, or delete "
            f"{begun.parent} to train the trial from its start"
        )


def _failed(sweep: SweepFolder, key: str, error: str, code: int) -> int:
    print(f"imctrain: {error}", file=sys.stderr)
    sweep.fail(key, error, code)
    return code


def leave_with(parent: int) -> None:
    """Stop (saved, as on SIGTERM) once the process `parent` is no longer ours: nobody would collect the result."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def save_when_asked(*files: Path) -> None:
    """Stop (saved, as on SIGTERM) once one of the files is there: no signal reaches a worker on another machine."""

    def watch() -> None:
        while not any(file.exists() for file in files):
            time.sleep(ASKED_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    path, key, *options = sys.argv[1:]
    cores = [int(core) for core in options[options.index("--cores") + 1].split(",")] if "--cores" in options else []
    if cores and hasattr(os, "sched_setaffinity"):
        # Before jax starts its threads: it starts as many as it finds cores.
        os.sched_setaffinity(0, cores)
    # What the run writes down as its command: folders of this machine are nobody's business.
    sys.argv = ["imctrain", "sweep", "trial", key]
    leave_with(os.getppid())
    sweep = SweepFolder(Path(path))
    save_when_asked(sweep.trial(key).pruned)
    return train(sweep, key, "--keep-checkpoints" in options)


if __name__ == "__main__":
    sys.exit(main())

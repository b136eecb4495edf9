"""Where a trial of a sweep stands, read from its files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from imctrain.errors import UserError
from imctrain.records.base import Kept
from imctrain.records.layout import RunFiles
from imctrain.records.lock import is_claimed
from imctrain.records.metrics import epoch_lines, read_tail
from imctrain.records.result import Failure, Pruned, Result

K = TypeVar("K", bound=Kept)


@dataclass(frozen=True)
class TrialStatus:
    """What the files of a trial say.

    Attributes:
        state: "waiting", "running", "stopped" (begun, not running), "pruned" (stopped by a search), "done" or "failed".
        epoch: finished epochs, of `epochs`. accuracy: newest on test or held-out images, a
            fraction.
        seconds: of training so far, as far as finished epochs tell.
        error: why it failed. code: exit code of the failed run, 3 for a training that diverged.
    """

    state: str
    epoch: int = 0
    epochs: int = 0
    accuracy: float | None = None
    seconds: float = 0.0
    error: str = ""
    code: int | None = None

    @property
    def seconds_left(self) -> float | None:
        if self.state in ("done", "failed", "pruned"):
            return 0.0
        return self.seconds / self.epoch * (self.epochs - self.epoch) if self.epoch else None


def status_of(trial: RunFiles, epochs: int = 0) -> TrialStatus:
    """Where a trial stands; `epochs` is how many it has."""
    result = _readable(Result, trial.result)
    if result is not None:
        return TrialStatus("done", result.epochs, result.epochs, result.accuracy, result.seconds)
    done = epoch_lines(read_tail(trial.metrics))
    epoch = done[-1].epoch if done else 0
    accuracy = next((line.evaluated for line in reversed(done) if line.evaluated is not None), None)
    # The file's end holds the newest epochs only: their mean stands for those before.
    seconds = epoch * sum(line.seconds for line in done) / len(done) if done else 0.0
    pruned = _readable(Pruned, trial.pruned)
    if pruned is not None:
        return TrialStatus("pruned", epoch, epochs, accuracy, seconds)
    failure = _readable(Failure, trial.failed)
    if failure is not None:
        return TrialStatus("failed", epoch, epochs, accuracy, seconds, failure.error, failure.code)
    state = "running" if is_claimed(trial.folder) else "stopped" if trial.is_run else "waiting"
    return TrialStatus(state, epoch, epochs, accuracy, seconds)


def _readable(kind: type[K], path: Path) -> K | None:
    """What a file holds; None where it is not there, or damaged."""
    try:
        return kind.read(path)
    except (OSError, UserError):
        return None

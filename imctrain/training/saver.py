"""When a training saves, and that what it saves is good."""

from __future__ import annotations

import time
from dataclasses import asdict

import jax

from imctrain.settings import CheckpointConfig
from imctrain.training.checkpoint import Checkpoints
from imctrain.training.guard import Guard
from imctrain.training.position import Position
from imctrain.training.step import TrainState
from imctrain.training.stored import JsonObject


class Saver:
    """Saves checkpoints of a training.

    Args:
        about: what run this is, for `Checkpoints.save`.
    """

    def __init__(self, checkpoints: Checkpoints, settings: CheckpointConfig, guard: Guard, about: JsonObject | None):
        self._checkpoints = checkpoints
        self._settings = settings
        self._guard = guard
        self._about = about
        self._saved = time.monotonic()

    def start(self) -> None:
        """Training starts now: the seconds to the first checkpoint count from here."""
        self._saved = time.monotonic()

    def is_due(self, done: int) -> bool:
        """Whether a checkpoint within the epoch is due after `done` steps."""
        steps, seconds = self._settings.every_steps, self._settings.every_seconds
        late = seconds is not None and time.monotonic() - self._saved >= seconds
        return late or (steps is not None and done % steps == 0)

    def save(self, done: int, state: TrainState, position: Position, test_accuracy: float | None) -> None:
        """A checkpoint after `done` steps.

        Raises:
            Diverged: the last update went wrong: a checkpoint is always good.
            OSError: it cannot be written.
        """
        host = jax.device_get(state)
        self._guard.check_parameters(host.params, done)
        self._checkpoints.save(done, host, asdict(position), test_accuracy, self._about)
        self._saved = time.monotonic()

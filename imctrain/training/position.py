"""Where training is, beside the arrays, and the time that it took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Position:
    """Where training is, beside the arrays: stored with every checkpoint.

    Attributes:
        epoch, step: of the next batch (step within the epoch). loss, correct, images: sums of the epoch so far.
        line_loss, line_correct, line_steps: sums since the last line of metrics, so that lines do not depend on
            where training stopped.
        clipped, clipped_count: sum and count of the logged clipped fractions of the epoch.
        seconds: training time so far, compilation left out; compile_seconds: first steps.
        epoch_taken: seconds of the epoch so far; epoch_seconds: of each finished one, evaluation included.
        test_accuracy, best_accuracy: of the newest and the best evaluation.
        worst: the newest (site, MVM, SNR in dB) of lowest SNR.
        statistical: of sites that may take the statistical path, the newest {site: {MVM: share that took it}}.
        silent: {"site:MVM": lines of metrics in a row in which its output held no signal}. warnings: lines told so far.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    correct: int = 0
    images: int = 0
    line_loss: float = 0.0
    line_correct: int = 0
    line_steps: int = 0
    clipped: float = 0.0
    clipped_count: int = 0
    last_clipped: float | None = None
    seconds: float = 0.0
    compile_seconds: float = 0.0
    epoch_taken: float = 0.0
    epoch_seconds: list[float] = field(default_factory=list)
    test_accuracy: float = 0.0
    best_accuracy: float = 0.0
    worst: list[Any] | None = None
    statistical: dict[str, dict[str, float]] = field(default_factory=dict)
    silent: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def next_epoch(self) -> None:
        """To the start of the next epoch; the time that this one took is kept, its sums are not."""
        self.epoch_seconds.append(self.epoch_taken)
        self.epoch, self.step, self.epoch_taken = self.epoch + 1, 0, 0.0
        self.loss, self.correct, self.images = 0.0, 0, 0
        self.clipped, self.clipped_count = 0.0, 0


class Clock:
    """Training time into a position."""

    def __init__(self, position: Position):
        self._position = position
        self._since = self._rate_since = time.monotonic()
        self._untimed = 0

    def compiled(self, since: float, images: int = 0) -> None:
        """What began at `since` (monotonic) and has just ended was compilation, with the step of so many images that
        came with it: it is counted apart."""
        now = time.monotonic()
        self._untimed += images
        self._position.compile_seconds += now - since
        self._since += now - since
        self._rate_since = now

    def rate(self, images: int) -> float | None:
        """Images a second, of so many since the last call; None if all of them came with compilation."""
        now = time.monotonic()
        timed, self._untimed = images - self._untimed, 0
        rate = timed / max(now - self._rate_since, 1e-9) if timed > 0 else None
        self._rate_since = now
        return rate

    def stop(self) -> None:
        """Add what was taken since the last stop."""
        now = time.monotonic()
        self._position.seconds += now - self._since
        self._position.epoch_taken += now - self._since
        self._since = now

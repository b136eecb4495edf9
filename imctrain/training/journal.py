"""What a training tells of itself: sums over its steps, lines of metrics.jsonl and of the terminal, warnings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from imctrain.errors import UserError
from imctrain.training.metrics import MetricsLog
from imctrain.training.position import Clock, Position
from imctrain.training.progress import TrainingProgress
from imctrain.training.sites import SiteSummary, flatten_reports
from imctrain.training.step import Metrics

Judged = Literal["test", "validation"]
"""Images that epochs are judged by."""


class Journal:
    """Adds up in a position what steps measure, and tells it where lines and epochs end.

    Args:
        position: where training is; moved on at the end of an epoch.
        summary: of the sites' reports. batch: images of a step. log, progress: told what is measured.
        judged: images that epochs are judged by.
    """

    def __init__(
        self,
        position: Position,
        summary: SiteSummary,
        batch: int,
        log: MetricsLog,
        progress: TrainingProgress,
        judged: Judged = "test",
    ):
        self.position = position
        self._summary = summary
        self._batch = batch
        self._log = log
        self._progress = progress
        self._judged = judged

    def add(self, steps: Sequence[Metrics]) -> None:
        """Metrics of the newest steps, on the host, into the sums of the epoch and of the line."""
        position = self.position
        for metrics in steps:
            loss, correct = float(metrics["loss"]), int(metrics["correct"])
            position.loss += loss * self._batch
            position.correct += correct
            position.images += self._batch
            position.line_loss += loss
            position.line_correct += correct
            position.line_steps += 1

    def line(self, newest: Metrics, done: int, clock: Clock) -> None:
        """One line of metrics after `done` steps: means since the last line, and the newest step's reports.

        Raises UserError where a site that must be statistical has clipped too much for too long.
        """
        position, steps = self.position, self.position.line_steps
        values = {
            "loss": position.line_loss / steps,
            "accuracy": position.line_correct / (self._batch * steps),
            "gradient_norm": float(newest["gradient_norm"]),
        }
        rate = clock.rate(steps * self._batch)
        if rate is not None:
            values["images_per_second"] = rate
        position.line_loss, position.line_correct, position.line_steps = 0.0, 0, 0
        reports = {site: {k: float(v) for k, v in report.items()} for site, report in newest["sites"].items()}
        if reports:
            values |= self._judge(reports)
        silence = self._summary.silence(reports, position.silent)
        if silence is not None:
            position.warnings.append(silence)
            self._progress.say(f"warning: {silence}")
        self._progress.step(done, values)
        record = {"kind": "train", "step": done, "epoch": position.epoch + 1, **values}
        told = {} if silence is None else {"warning": silence}
        self._log.write(record | told | {"sites": flatten_reports(reports)})

    def _judge(self, reports: dict[str, dict[str, float]]) -> dict[str, float]:
        """What the sites' reports say of the whole network, for a line."""
        position = self.position
        values = {}
        clipped = self._summary.clipped(reports)
        if math.isfinite(clipped):
            values["clipped"] = clipped
            position.clipped += clipped
            position.clipped_count += 1
        worst = self._summary.worst(reports)
        if worst is not None:
            values["worst_snr_db"] = worst[2]
            position.worst = list(worst)
        position.statistical = self._summary.statistical(reports)
        overrun = self._summary.overrun(reports)
        if overrun is not None:
            raise UserError(overrun)
        return values

    def epoch(self, done: int, tested: tuple[float, float] | None) -> None:
        """The line of an epoch that ended after `done` steps in all; the position is then at the start of the next.

        Args:
            tested: (accuracy, mean loss) on the images that epochs are judged by, where they were evaluated.
        """
        position = self.position
        images = max(position.images, 1)
        values = {"loss": position.loss / images, "accuracy": position.correct / images}
        if tested is not None:
            values[f"{self._judged}_accuracy"], values[f"{self._judged}_loss"] = tested
            position.test_accuracy = tested[0]
            position.best_accuracy = max(position.best_accuracy, position.test_accuracy)
        if position.clipped_count:
            position.last_clipped = values["clipped"] = position.clipped / position.clipped_count
        values["seconds"] = position.epoch_taken
        position.next_epoch()
        self._progress.epoch(position.epoch, values)
        self._log.write({"kind": "epoch", "step": done, "epoch": position.epoch, **values})

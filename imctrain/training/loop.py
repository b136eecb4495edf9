"""The training loop: epochs, evaluation, metrics, checkpoints; stops and resumes at any step to the same bits."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from imctrain.config import Config
from imctrain.data import Augment, Batches, Dataset, Split
from imctrain.intercept import Ledger
from imctrain.training.checkpoint import Checkpoints
from imctrain.training.metrics import MetricsLog
from imctrain.training.parallel import DataParallel
from imctrain.training.progress import TrainingProgress
from imctrain.training.signals import Interrupted, StopRequest
from imctrain.training.sites import SiteSummary, flatten_reports
from imctrain.training.step import Steps, TrainState


class Diverged(Exception):
    """Training produced values that are not finite; the message says where and what is still good."""


@dataclass
class Position:
    """Where training is, beside the arrays: stored with every checkpoint.

    Attributes:
        epoch, step: of the next batch (step within the epoch). loss, correct, images: sums of the epoch so far.
        clipped, clipped_count: sum and count of the logged clipped fractions of the epoch.
        seconds: training time so far, compilation left out; compile_seconds: first steps.
        epoch_seconds: seconds of each finished epoch, evaluation included.
        test_accuracy, best_accuracy: of the newest and the best evaluation.
        worst: the newest (site, MVM, SNR in dB) of lowest SNR.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    correct: int = 0
    images: int = 0
    clipped: float = 0.0
    clipped_count: int = 0
    last_clipped: float | None = None
    seconds: float = 0.0
    compile_seconds: float = 0.0
    epoch_seconds: list[float] = field(default_factory=list)
    test_accuracy: float = 0.0
    best_accuracy: float = 0.0
    worst: list[Any] | None = None


class Trainer:
    """Trains one network on one path in one folder.

    Args:
        steps: compiled steps. ledger: of the training function, None in float training.
        folder: gets metrics.jsonl, checkpoints/ and events.
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        steps: Steps,
        ledger: Ledger | None,
        folder: Path,
        parallel: DataParallel,
    ):
        self._config = config
        self._steps = steps
        self._summary = SiteSummary(ledger)
        self._site_order = [entry.name for entry in ledger.sites] if ledger is not None else []
        self._folder = folder
        self._parallel = parallel
        self._train, self._test = make_batches(config, dataset)
        self._checkpoints = Checkpoints(folder / "checkpoints")
        self._compiled = False
        self.steps_per_epoch = self._train.steps_per_epoch

    @property
    def checkpoints(self) -> Checkpoints:
        return self._checkpoints

    def run(self, progress: TrainingProgress, stop: StopRequest) -> tuple[TrainState, Position]:
        """Train to the end, from the newest checkpoint of the folder if there is one.

        Raises:
            Interrupted: on a signal, after saving. Diverged: at a loss that is not finite.
        """
        state, position = self._steps.initial, Position()
        if self._checkpoints.latest is not None:
            restored, stored = self._checkpoints.restore(jax.tree.map(np.asarray, state))
            state, position = jax.tree.map(jax.numpy.asarray, restored), Position(**stored)
        state = self._parallel.replicate(state)
        events = self._folder / "events" if self._config.tensorboard else None
        log = MetricsLog(self._folder / "metrics.jsonl", tensorboard=events)
        try:
            while position.epoch < self._config.training.epochs:
                state = self._epoch(state, position, log, progress, stop)
        finally:
            log.close()
            self._checkpoints.close()
        return state, position

    def _epoch(
        self, state: TrainState, position: Position, log: MetricsLog, progress: TrainingProgress, stop: StopRequest
    ) -> TrainState:
        training, every = self._config.training, self._config.checkpoint.every_steps
        clock = _Clock(position)
        started = time.monotonic()
        pending: list[dict[str, Any]] = []
        for batch in self._train.epoch(position.epoch, position.step):
            images, labels = self._parallel.batch(batch.images, batch.labels)
            before = time.monotonic()
            state, metrics = self._steps.train(state, images, labels)
            if not self._compiled:
                # The first step of a process compiles: it is counted apart.
                jax.block_until_ready(state.step)
                clock.skip(time.monotonic() - before)
                position.compile_seconds += time.monotonic() - before
                self._compiled = True
            pending.append(metrics)
            position.step += 1
            done = position.epoch * self.steps_per_epoch + position.step
            last = position.step == self.steps_per_epoch
            due = every is not None and done % every == 0
            if position.step % training.log_every == 0 or last or due or stop.number is not None:
                self._log(pending, position, done, log, progress, clock)
                pending = []
            if stop.number is not None:
                clock.stop()
                self._save(done, state, position)
                raise Interrupted(stop.number)
            if due and not last:
                clock.stop()
                self._save(done, state, position)
        accuracy = position.correct / max(position.images, 1)
        values = {"loss": position.loss / max(position.images, 1), "accuracy": accuracy}
        done = (position.epoch + 1) * self.steps_per_epoch
        finished = position.epoch + 1
        if finished % training.eval_every == 0 or finished == training.epochs:
            values["test_accuracy"], values["test_loss"] = self.evaluate(state, position.epoch)
            position.test_accuracy = values["test_accuracy"]
            position.best_accuracy = max(position.best_accuracy, position.test_accuracy)
        if position.clipped_count:
            position.last_clipped = position.clipped / position.clipped_count
            values["clipped"] = position.last_clipped
        clock.stop()
        values["seconds"] = time.monotonic() - started
        position.epoch_seconds.append(clock.taken)
        progress.epoch(finished, values)
        log.write({"kind": "epoch", "step": done, "epoch": finished, **values})
        position.epoch, position.step = finished, 0
        position.loss, position.correct, position.images = 0.0, 0, 0
        position.clipped, position.clipped_count = 0.0, 0
        if finished % self._config.checkpoint.every_epochs == 0 or finished == training.epochs:
            self._save(done, state, position)
        return state

    def _log(
        self,
        pending: list[dict[str, Any]],
        position: Position,
        done: int,
        log: MetricsLog,
        progress: TrainingProgress,
        clock: _Clock,
    ) -> None:
        """Fetch the metrics of the steps since the last line, check them, write one line."""
        fetched = jax.device_get(pending)
        batch = self._config.data.batch_size
        for offset, metrics in enumerate(fetched):
            if not math.isfinite(metrics["loss"]) or not math.isfinite(metrics["gradient_norm"]):
                raise Diverged(self._divergence(metrics, done - len(fetched) + 1 + offset))
            position.loss += float(metrics["loss"]) * batch
            position.correct += int(metrics["correct"])
            position.images += batch
        newest = fetched[-1]
        values = {
            "loss": float(np.mean([m["loss"] for m in fetched])),
            "accuracy": float(np.sum([m["correct"] for m in fetched])) / (batch * len(fetched)),
            "gradient_norm": float(newest["gradient_norm"]),
            "images_per_second": clock.rate(len(fetched) * batch),
        }
        reports = {site: {k: float(v) for k, v in report.items()} for site, report in newest["sites"].items()}
        if reports:
            clipped = self._summary.clipped(reports)
            if math.isfinite(clipped):
                values["clipped"] = clipped
                position.clipped += clipped
                position.clipped_count += 1
            worst = self._summary.worst(reports)
            if worst is not None:
                values["worst_snr_db"] = worst[2]
                position.worst = list(worst)
        progress.step(done, values)
        record = {"kind": "train", "step": done, "epoch": position.epoch + 1, **values}
        log.write(record | {"sites": flatten_reports(reports)})

    def _divergence(self, metrics: dict[str, Any], step: int) -> str:
        bad = [site for site in self._site_order if not metrics["finite"].get(site, True)]
        where = f"first at site {bad[0]}" if bad else "at no simulated site: look at the learning rate"
        latest = self._checkpoints.latest
        good = f"the last good checkpoint is step {latest}" if latest is not None else "there is no checkpoint yet"
        return (
            f"training diverged at step {step}: loss {metrics['loss']}, gradient norm {metrics['gradient_norm']}, "
            f"{where}; {good} in {self._folder / 'checkpoints'}"
        )

    def evaluate(self, state: TrainState, number: int) -> tuple[float, float]:
        """(accuracy, mean loss) on every test image once, on the same hardware as training."""
        correct = losses = 0.0
        for index, batch in enumerate(self._test.epoch(0)):
            images, labels, mask = self._parallel.batch(batch.images, batch.labels, batch.mask)
            call = np.int32(number * self._test.steps_per_epoch + index)
            c, l = self._steps.evaluate(state.params, state.rest, state.sites, images, labels, mask, call)
            correct, losses = correct + float(c), losses + float(l)
        return correct / len(self._test.split), losses / len(self._test.split)

    def _save(self, step: int, state: TrainState, position: Position) -> None:
        self._checkpoints.save(step, state, asdict(position), position.test_accuracy)


class _Clock:
    """Training time into a position."""

    def __init__(self, position: Position):
        self._position = position
        self._since = self._rate_since = time.monotonic()
        self.taken = 0.0

    def skip(self, seconds: float) -> None:
        """Leave out the last `seconds` (compilation)."""
        self._since += seconds
        self._rate_since = time.monotonic()

    def rate(self, images: int) -> float:
        """Images a second since the last call."""
        now = time.monotonic()
        rate = images / max(now - self._rate_since, 1e-9)
        self._rate_since = now
        return rate

    def stop(self) -> None:
        """Add what was taken since the last stop."""
        now = time.monotonic()
        self._position.seconds += now - self._since
        self.taken += now - self._since
        self._since = now


def make_batches(config: Config, dataset: Dataset) -> tuple[Batches, Batches]:
    """Training and test batches of a config."""
    data = config.data
    statistics = {"mean": dataset.mean, "std": dataset.std}
    augment = Augment(flip=data.augment.flip, crop_padding=data.augment.crop)
    train = Batches(
        limit(dataset.train, data.train_limit), data.batch_size, seed=config.seed, augment=augment, **statistics
    )
    test = Batches.evaluation(limit(dataset.test, data.test_limit), data.eval_batch_size, **statistics)
    return train, test


def limit(split: Split, count: int | None) -> Split:
    """The first `count` images of a split, or all."""
    return split if count is None else Split(split.images[:count], split.labels[:count])

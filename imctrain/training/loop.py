"""The training loop: epochs, evaluation, metrics, checkpoints; stops and resumes at any step to the same bits."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import jax
import numpy as np
from jaxtyping import PyTree

from imctrain.data import Augment, Batches, Dataset, Parts, parts_of
from imctrain.errors import UserError
from imctrain.intercept import Ledger
from imctrain.records.layout import RunFiles
from imctrain.settings import Config
from imctrain.training.checkpoint import Checkpoints, JsonObject
from imctrain.training.divergence import Diverged as Diverged
from imctrain.training.divergence import find, leaf_names
from imctrain.training.metrics import MetricsLog, truncate_metrics
from imctrain.training.parallel import DataParallel
from imctrain.training.position import Clock, Position
from imctrain.training.progress import TrainingProgress
from imctrain.training.signals import Interrupted, StopRequest
from imctrain.training.sites import SiteSummary, flatten_reports
from imctrain.training.step import Steps, TrainState

Metrics = dict[str, PyTree]
"""What a step measures, see `Steps.train`."""


class Trainer:
    """Trains one network on one path in one folder.

    Args:
        steps: compiled steps. ledger: of the training function, None in float training.
        folder: gets metrics.jsonl, checkpoints/ and events.
        about: what run this is, for `Checkpoints.save`.
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        steps: Steps,
        ledger: Ledger | None,
        folder: Path,
        parallel: DataParallel,
        about: JsonObject | None = None,
    ):
        self._config = config
        self._about = about
        self._steps = steps
        self._summary = SiteSummary(ledger)
        self._sites = [entry.name for entry in ledger.sites] if ledger is not None else []
        self._parameters = leaf_names(steps.initial.params)
        self._classes = len(dataset.classes)
        self._folder = folder
        self._parallel = parallel
        self._train, self._test, self._unseen = make_batches(config, dataset)
        self._judged = "test" if config.data.validation is None else "validation"
        self._checkpoints = Checkpoints(RunFiles(folder).checkpoints, config.checkpoint.keep)
        self._compiled = self._evaluated = False
        self._saved = time.monotonic()
        self.steps_per_epoch = self._train.steps_per_epoch
        self.total_steps = config.training.total_steps(self.steps_per_epoch)

    @property
    def checkpoints(self) -> Checkpoints:
        return self._checkpoints

    def run(self, progress: TrainingProgress, stop: StopRequest) -> tuple[TrainState, Position]:
        """Train to the end, from the newest good checkpoint of the folder if there is one; damaged ones are set aside.

        Raises:
            UserError: there are checkpoints, and none is good, or the newest good one is of another network.
            Interrupted: on a signal, after saving. Diverged: at values that are not finite, or a hopeless loss.
            OSError: something cannot be written; what was saved before is as it was.
        """
        state, position = self._steps.initial, Position()
        stored, latest = self._checkpoints.newest(), 0
        metrics = RunFiles(self._folder).metrics
        if stored is not None:
            restored = self._checkpoints.fit(stored, jax.tree.map(np.asarray, state))
            state, position = jax.tree.map(jax.numpy.asarray, restored), Position(**stored.position)
            latest = stored.step
            self._checkpoints.set_aside(list(stored.damaged))
            progress.say(f"continuing after step {latest}, in epoch {position.epoch + 1}")
        elif metrics.is_file() and metrics.stat().st_size:
            progress.say("there is no checkpoint to continue from: training starts at its first step again")
        state = self._parallel.replicate(state)
        truncate_metrics(metrics, latest, position.epoch)
        events = RunFiles(self._folder).events if self._config.tensorboard else None
        log = MetricsLog(metrics, tensorboard=events, step=latest)
        try:
            self._saved = time.monotonic()
            while position.epoch * self.steps_per_epoch < self.total_steps:
                state = self._epoch(state, position, log, progress, stop)
        finally:
            self._checkpoints.close()
            log.close()
        return state, position

    def _epoch(
        self, state: TrainState, position: Position, log: MetricsLog, progress: TrainingProgress, stop: StopRequest
    ) -> TrainState:
        """One epoch from `position` on: its remaining steps, evaluation, checkpoint."""
        clock = Clock(position)
        state = self._train_steps(state, position, log, progress, stop, clock)
        finished = position.epoch + 1
        done = min(finished * self.steps_per_epoch, self.total_steps)
        images = max(position.images, 1)
        values = {"loss": position.loss / images, "accuracy": position.correct / images}
        evaluated = finished % self._config.training.eval_every == 0 or done == self.total_steps
        if evaluated:
            try:
                accuracy, values[f"{self._judged}_loss"] = self.evaluate(state, position.epoch, stop, clock)
            except Interrupted:
                # Resumed, this epoch goes on with its evaluation.
                clock.stop()
                self._save(done, state, position, None)
                raise
            values[f"{self._judged}_accuracy"] = position.test_accuracy = accuracy
            position.best_accuracy = max(position.best_accuracy, position.test_accuracy)
        if position.clipped_count:
            position.last_clipped = values["clipped"] = position.clipped / position.clipped_count
        clock.stop()
        values["seconds"] = position.epoch_taken
        position.epoch_seconds.append(position.epoch_taken)
        progress.epoch(finished, values)
        log.write({"kind": "epoch", "step": done, "epoch": finished, **values})
        position.epoch, position.step, position.epoch_taken = finished, 0, 0.0
        position.loss, position.correct, position.images = 0.0, 0, 0
        position.clipped, position.clipped_count = 0.0, 0
        if finished % self._config.checkpoint.every_epochs == 0 or done == self.total_steps:
            self._save(done, state, position, position.test_accuracy if evaluated else None)
        return state

    def _train_steps(
        self,
        state: TrainState,
        position: Position,
        log: MetricsLog,
        progress: TrainingProgress,
        stop: StopRequest,
        clock: Clock,
    ) -> TrainState:
        """The remaining steps of an epoch, with lines of metrics and checkpoints where they are due."""
        log_every, before_epoch = self._config.training.log_every, position.epoch * self.steps_per_epoch
        steps = min(self.steps_per_epoch, self.total_steps - before_epoch)
        pending: list[Metrics] = []
        for batch in islice(self._train.epoch(position.epoch, position.step), steps - position.step):
            images, labels = self._parallel.batch(batch.images, batch.labels)
            before = time.monotonic()
            state, metrics = self._steps.train(state, images, labels)
            if not self._compiled:
                # The first step of a process compiles.
                jax.block_until_ready(state.step)
                clock.compiled(before, len(batch.labels))
                self._compiled = True
            pending.append(metrics)
            position.step += 1
            done, last = before_epoch + position.step, position.step == steps
            line = position.step % log_every == 0 or last
            save = stop.number is not None or (self._is_due(done) and not last)
            if line or save:
                newest = self._collect(pending, position, done)
                pending = []
                if line:
                    self._line(newest, position, done, log, progress, clock)
            if save:
                clock.stop()
                self._save(done, state, position, None)
            if stop.number is not None:
                raise Interrupted(stop.number)
        return state

    def _is_due(self, done: int) -> bool:
        """Whether a checkpoint within the epoch is due after `done` steps."""
        steps, seconds = self._config.checkpoint.every_steps, self._config.checkpoint.every_seconds
        late = seconds is not None and time.monotonic() - self._saved >= seconds
        return late or (steps is not None and done % steps == 0)

    def _collect(self, pending: list[Metrics], position: Position, done: int) -> Metrics:
        """Fetch the metrics of the newest steps, check them, add them up. Returns those of the last."""
        fetched = jax.device_get(pending)
        batch = self._config.data.batch_size
        for step, metrics in enumerate(fetched, done - len(fetched) + 1):
            loss = float(metrics["loss"])
            where = find(metrics["health"], loss, classes=self._classes, parameters=self._parameters, sites=self._sites)
            if where is not None:
                raise self._diverged(step, f"loss {loss:.4g}, {where}")
            position.loss += loss * batch
            position.correct += int(metrics["correct"])
            position.images += batch
            position.line_loss += loss
            position.line_correct += int(metrics["correct"])
            position.line_steps += 1
        return fetched[-1]

    def _line(
        self,
        newest: Metrics,
        position: Position,
        done: int,
        log: MetricsLog,
        progress: TrainingProgress,
        clock: Clock,
    ) -> None:
        """One line of metrics: means since the last line, and the newest step's reports."""
        steps, batch = position.line_steps, self._config.data.batch_size
        values = {
            "loss": position.line_loss / steps,
            "accuracy": position.line_correct / (batch * steps),
            "gradient_norm": float(newest["gradient_norm"]),
        }
        rate = clock.rate(steps * batch)
        if rate is not None:
            values["images_per_second"] = rate
        position.line_loss, position.line_correct, position.line_steps = 0.0, 0, 0
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
            position.statistical = self._summary.statistical(reports)
            overrun = self._summary.overrun(reports)
            if overrun is not None:
                raise UserError(overrun)
        silence = self._summary.silence(reports, position.silent)
        if silence is not None:
            position.warnings.append(silence)
            progress.say(f"warning: {silence}")
        progress.step(done, values)
        record = {"kind": "train", "step": done, "epoch": position.epoch + 1, **values}
        told = {} if silence is None else {"warning": silence}
        log.write(record | told | {"sites": flatten_reports(reports)})

    def _diverged(self, step: int, what: str) -> Diverged:
        latest = self._checkpoints.latest
        where = RunFiles(self._folder).checkpoints
        good = f"the last good checkpoint is step {latest} in {where}" if latest is not None else "no checkpoint yet"
        rate = self._config.training.learning_rate
        return Diverged(
            f"training diverged at step {step}: {what}; {good}; start again with a training.learning_rate below "
            f"{rate:g}, or with training.clip_norm"
        )

    def test(self, state: TrainState, position: Position, stop: StopRequest) -> float:
        """Accuracy on every test image once, of a training that was judged by held-out images.

        Raises Interrupted on a signal: resumed, the training goes on with this.
        """
        clock = Clock(position)
        accuracy, _ = self.evaluate(state, position.epoch, stop, clock, self._unseen)
        clock.stop()
        return accuracy

    def evaluate(
        self, state: TrainState, number: int, stop: StopRequest, clock: Clock, batches: Batches | None = None
    ) -> tuple[float, float]:
        """(accuracy, mean loss) on every image of `batches` once, on the same hardware as training; by default of those
        that epochs are judged by. `number` counts evaluations: each has noise of its own.

        Raises Interrupted on a signal.
        """
        correct = losses = 0.0
        batches = batches or self._test
        for index, batch in enumerate(batches.epoch(0)):
            images, labels, mask = self._parallel.batch(batch.images, batch.labels, batch.mask)
            before = time.monotonic()
            call = np.int32(number * self._test.steps_per_epoch + index)
            c, l = self._steps.evaluate(state.params, state.rest, state.sites, images, labels, mask, call)
            correct, losses = correct + float(c), losses + float(l)
            if not self._evaluated:
                clock.compiled(before)
                self._evaluated = True
            if stop.number is not None:
                raise Interrupted(stop.number)
        return correct / len(batches.split), losses / len(batches.split)

    def _save(self, step: int, state: TrainState, position: Position, test_accuracy: float | None) -> None:
        """A checkpoint after `step` steps, unless the last update went wrong: a checkpoint is always good."""
        host = jax.device_get(state)
        for name, leaf in zip(self._parameters, jax.tree.leaves(host.params), strict=True):
            if not np.all(np.isfinite(leaf)):
                raise self._diverged(step, f"parameter {name} is not finite")
        self._checkpoints.save(step, host, asdict(position), test_accuracy, self._about)
        self._saved = time.monotonic()


def data_parts(config: Config, dataset: Dataset) -> Parts:
    """The images that a config trains on, judges epochs by, and tests on."""
    data = config.data
    return parts_of(dataset, train_limit=data.train_limit, test_limit=data.test_limit, validation=data.validation)


def make_batches(config: Config, dataset: Dataset) -> tuple[Batches, Batches, Batches]:
    """Batches of a config: for training, for judging epochs (the held-out images, or the test images where none are
    held out), and of the test images.

    Raises UserError for a batch larger than the data, or images that cannot be held out.
    """
    data = config.data
    train, judged, test = data_parts(config, dataset)
    if data.batch_size > len(train):
        held = "" if data.validation is None else f" that data.validation = {data.validation:g} leaves"
        raise UserError(
            f"data.batch_size = {data.batch_size} is more than the {len(train)} training images of {dataset.name}"
            f"{held}: make it smaller"
        )
    mean, std = dataset.mean, dataset.std
    flags = data.augment
    augment = Augment(flip=flags.flip, crop_padding=flags.crop, border=flags.border, cutout=flags.cutout)
    return (
        Batches(train, data.batch_size, mean=mean, std=std, seed=config.seed, augment=augment),
        Batches.evaluation(judged, data.eval_batch_size, mean=mean, std=std),
        Batches.evaluation(test, data.eval_batch_size, mean=mean, std=std),
    )

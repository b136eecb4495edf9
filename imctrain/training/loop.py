"""The training loop: epochs, evaluation, metrics, checkpoints; stops and resumes at any step to the same bits."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import jax

from imctrain.data import Augment, Batches, Dataset, Parts, in_words, parts_of
from imctrain.errors import UserError
from imctrain.intercept import Ledger
from imctrain.records.layout import RunFiles
from imctrain.settings import Config
from imctrain.tracking import Callbacks
from imctrain.training.checkpoint import Checkpoints
from imctrain.training.divergence import Diverged as Diverged
from imctrain.training.divergence import leaf_names
from imctrain.training.evaluation import Evaluation
from imctrain.training.guard import Guard
from imctrain.training.journal import Journal, Judged
from imctrain.training.metrics import MetricsLog, truncate_metrics
from imctrain.training.parallel import DataParallel
from imctrain.training.position import Clock, Position
from imctrain.training.progress import TrainingProgress
from imctrain.training.saver import Saver
from imctrain.training.signals import Interrupted, StopRequest
from imctrain.training.sites import SiteSummary
from imctrain.training.step import Metrics, Steps, TrainState
from imctrain.training.stored import JsonObject


class Trainer:
    """Trains one network on one path in one folder.

    Args:
        steps: compiled steps. ledger: of the training function, None in float training.
        folder: gets metrics.jsonl, checkpoints/ and events.
        about: what run this is, for `Checkpoints.save`. callbacks: told how it goes; not of its end.
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
        callbacks: Callbacks | None = None,
    ):
        self._config = config
        self._steps = steps
        self._ledger = ledger
        self._files = RunFiles(folder)
        self._parallel = parallel
        self._callbacks = Callbacks() if callbacks is None else callbacks
        self._train, self._test, self._unseen = make_batches(config, dataset)
        self._judged: Judged = "test" if config.data.validation is None else "validation"
        self._checkpoints = Checkpoints(self._files.checkpoints, config.checkpoint.keep)
        self._guard = Guard(
            parameters=leaf_names(steps.initial.params),
            sites=[entry.name for entry in ledger.sites] if ledger is not None else [],
            classes=len(dataset.classes),
            rate=config.training.learning_rate,
            checkpoints=self._checkpoints,
        )
        self._saver = Saver(self._checkpoints, config.checkpoint, self._guard, about)
        self._evaluation = Evaluation(steps, self._test, parallel)
        self._compiled = False
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
        metrics = self._files.metrics
        if stored is not None:
            function = self._steps.function
            restored = stored.fit(state, {} if function is None else function.former_names)
            state, position = jax.tree.map(jax.numpy.asarray, restored), Position(**stored.position)
            latest = stored.step
            self._checkpoints.set_aside(list(stored.damaged))
            progress.say(f"continuing after step {latest}, in epoch {position.epoch + 1}")
        elif metrics.is_file() and metrics.stat().st_size:
            progress.say("there is no checkpoint to continue from: training starts at its first step again")
        state = self._parallel.replicate(state)
        truncate_metrics(metrics, latest, position.epoch)
        self._callbacks.start(self._config, self._files.folder, latest)
        log = MetricsLog(metrics, self._callbacks)
        batch = self._config.data.batch_size
        journal = Journal(position, SiteSummary(self._ledger), batch, log, progress, self._judged)
        try:
            self._saver.start()
            while position.epoch * self.steps_per_epoch < self.total_steps:
                state = self._epoch(state, journal, stop)
        finally:
            self._checkpoints.close()
            log.close()
        return state, position

    def _epoch(self, state: TrainState, journal: Journal, stop: StopRequest) -> TrainState:
        """One epoch from the journal's position on: its remaining steps, evaluation, checkpoint."""
        position = journal.position
        clock = Clock(position)
        state = self._train_steps(state, journal, stop, clock)
        finished = position.epoch + 1
        done = min(finished * self.steps_per_epoch, self.total_steps)
        tested = None
        if finished % self._config.training.eval_every == 0 or done == self.total_steps:
            try:
                tested = self._evaluation.run(state, position.epoch, stop, clock)
            except Interrupted:
                # Resumed, this epoch goes on with its evaluation.
                clock.stop()
                self._saver.save(done, state, position, None)
                raise
        clock.stop()
        journal.epoch(done, tested)
        if finished % self._config.checkpoint.every_epochs == 0 or done == self.total_steps:
            self._saver.save(done, state, position, None if tested is None else tested[0])
        return state

    def _train_steps(self, state: TrainState, journal: Journal, stop: StopRequest, clock: Clock) -> TrainState:
        """The remaining steps of an epoch, with lines of metrics and checkpoints where they are due."""
        position = journal.position
        log_every, before_epoch = self._config.training.log_every, position.epoch * self.steps_per_epoch
        steps = min(self.steps_per_epoch, self.total_steps - before_epoch)
        pending: list[Metrics] = []
        step = self._steps.at(position.epoch).train
        for batch in islice(self._train.epoch(position.epoch, position.step), steps - position.step):
            images, labels = self._parallel.batch(batch.images, batch.labels)
            before = time.monotonic()
            state, metrics = step(state, images, labels)
            if not self._compiled:
                # The first step of a process compiles.
                jax.block_until_ready(state.step)
                clock.compiled(before, len(batch.labels))
                self._compiled = True
            pending.append(metrics)
            position.step += 1
            done, last = before_epoch + position.step, position.step == steps
            line = position.step % log_every == 0 or last
            save = stop.number is not None or (self._saver.is_due(done) and not last)
            if line or save:
                fetched, pending = jax.device_get(pending), []
                self._guard.check_steps(fetched, done)
                journal.add(fetched)
                if line:
                    journal.line(fetched[-1], done, clock)
            if save:
                clock.stop()
                self._saver.save(done, state, position, None)
            if stop.number is not None:
                raise Interrupted(stop.number)
        return state

    def test(self, state: TrainState, position: Position, stop: StopRequest) -> float:
        """Accuracy on every test image once, of a training that was judged by held-out images.

        Raises Interrupted on a signal: resumed, the training goes on with this.
        """
        clock = Clock(position)
        accuracy, _ = self._evaluation.run(state, position.epoch, stop, clock, self._unseen)
        clock.stop()
        return accuracy


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
        held = "" if data.validation is None else f" that data.validation = {in_words(data.validation)} leaves"
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

"""A pool that trains nothing: it writes what a training of known accuracy would leave, files and all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from imctrain.files import write_text
from imctrain.records.result import DataSource, Failure, Result
from imctrain.settings import Config, dump_toml
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.supply import Supply

IMAGES = 200


class Killed(BaseException):
    """Stands for `kill -9`: nothing after it runs."""


@dataclass
class StubPool:
    """Trials one after another; each epoch's accuracy rises to that of `accuracy`.

    Attributes:
        accuracy: of a config at the end, a fraction. tested: keys of trials whose test images were measured, in order.
        trained: keys of trials that were begun, in order. epochs: {key: epochs done}.
        die_after: the pool dies after so many results, in the middle of the next trial. fail: exit code by config.
    """

    sweep: SweepFolder
    accuracy: Callable[[Config], float]
    tested: list[str] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    die_after: int | None = None
    fail: Callable[[Config], int] = lambda config: 0
    jobs: int = 1

    def run(self, supply: Supply, tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
        while not (supply.over or stopping()):
            key = supply.take()
            if key is None:
                continue
            self._train(key, tick)
            supply.ended(key)

    def _train(self, key: str, tick: Callable[[], None]) -> None:
        trial, config = self.sweep.trial(key), self.sweep.config(key)
        if trial.is_finished:
            return
        self.trained.append(key)
        trial.folder.mkdir(parents=True, exist_ok=True)
        code = self.fail(config)
        if code:
            Failure(error=f"exit code {code}", code=code).write(trial.failed)
            return
        write_text(trial.config, dump_toml(config))
        epochs, end = config.training.epochs, self.accuracy(config)
        with trial.metrics.open("w", encoding="utf-8") as stream:
            for epoch in range(1, epochs + 1):
                line = {"kind": "epoch", "step": 10 * epoch, "epoch": epoch, "loss": 1.0, "accuracy": 0.5}
                line |= {"validation_accuracy": end * epoch / epochs, "validation_loss": 1.0, "seconds": 0.1}
                stream.write(json.dumps(line) + "\n")
                stream.flush()
                self.epochs[key] = epoch
                tick()
                if trial.pruned.is_file():
                    return
        if self.die_after is not None:
            self.die_after -= 1
            if self.die_after < 0:
                raise Killed
        if config.data.test_at_end:
            self.tested.append(key)
        self._write(key, config, end)

    def _write(self, key: str, config: Config, accuracy: float) -> None:
        Result(
            name=config.name,
            test_accuracy=accuracy - 0.01 if config.data.test_at_end else None,
            test_images=IMAGES if config.data.test_at_end else None,
            best_test_accuracy=None,
            validation_accuracy=accuracy,
            best_validation_accuracy=accuracy,
            validation_images=IMAGES,
            epochs=config.training.epochs,
            seconds=1.0,
            seconds_per_epoch=0.1,
            compile_seconds=0.0,
            path=config.imc.path,
            dataset="digits",
            dataset_source=DataSource(),
            model="mlp",
            parameters=1,
            config_hash="",
            seed=config.seed,
            clipped_fraction=None,
        ).write(self.sweep.trial(key).result)

"""What an evaluation's folder keeps: what is there already, and what is added after every evaluation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imctrain.data import Dataset
from imctrain.evaluation.evaluator import Measured, calibration_for
from imctrain.evaluation.overrides import Overrides, Point, condition_of, spread_of
from imctrain.evaluation.summary import USUAL, Levels, summarise, summarised
from imctrain.experiment.identity import calibration_hash
from imctrain.experiment.trained import Trained
from imctrain.records.evaluation import VERSION, DieResult, Evaluation, Evaluations
from imctrain.records.layout import EvaluationFiles
from imctrain.records.result import OFF_THE_ARRAY
from imctrain.settings import Config

"""Paths on which no chip is met."""
DIE = ("chip_seed", "calibration", "chip")
"""Of [imc]: what makes a die the one that it is, whatever its noise and its conditions."""
WITH_DATA = "imc.calibration"
"""A die of a calibration of its own is measured anew: the file may be another one."""


@dataclass(frozen=True)
class Request:
    """What is asked of a trained network.

    Attributes:
        overrides: keys of its config with other values, for all chips. others: chips beside the config's own.
        at_spread: the others that are dies by number, at the low and the high of what is known of the spread of dies.
        conditions: temperatures and supplies that the config's chip and the others are evaluated at, beside its own.
        repeats: evaluations of each chip, with noise of their own. images: test images; None for those of the training.
        recalibrate: remedies; the network is evaluated without any, then with one after the other added.
        calibration_images: training images for what is calibrated on them. levels: accuracies that yields are told at.
    """

    overrides: Overrides = field(default_factory=dict)
    others: tuple[Point, ...] = ()
    at_spread: tuple[Point, ...] = ()
    conditions: tuple[Point, ...] = ()
    repeats: int = 1
    images: int | None = None
    recalibrate: tuple[str, ...] = ()
    calibration_images: int = 512
    levels: Levels = USUAL


class Keeper:
    """Finds and adds what a request's evaluations have in a folder."""

    def __init__(self, trained: Trained, request: Request, dataset: Dataset, files: EvaluationFiles):
        self._trained, self._request, self._dataset, self._files = trained, request, dataset, files

    def begin(self, config: Config, remedies: tuple[str, ...], notes: list[str]) -> Evaluation:
        """The evaluation as it is kept, or one without dies."""
        overrides = dict(self._request.overrides)
        calibration = None if config.imc.path == "float" else calibration_for(self._trained, config)
        sha256 = None if calibration is None else calibration_hash(calibration)
        images = self.images(config)
        key = self._key(config, sha256, remedies, images)
        kept = self._kept().find(key)
        if kept is not None:
            # Its yields may have been told at other accuracies.
            return self._written(kept, summarised(kept, self._request.levels, calibration))
        trained = self._trained
        return Evaluation(
            key=key,
            name=_name(overrides, remedies),
            network=trained.where,
            network_sha256=trained.sha256,
            checkpoint=trained.checkpoint,
            step=trained.step,
            trained_accuracy=trained.accuracy,
            baseline_accuracy=trained.baseline_accuracy,
            overrides=overrides,
            recalibrate=remedies,
            calibration_images=0,
            config=config.model_dump(mode="json"),
            calibration=None if calibration is None else calibration.name,
            calibration_provenance=None if calibration is None else calibration.provenance,
            calibration_sha256=sha256,
            dataset=config.data.name,
            dataset_content=self._dataset.content,
            images=images,
            notes=tuple(notes),
            dies=(),
            summary=summarise((), None),
        )

    def missing(self, found: Evaluation, point: Point) -> range:
        """Repeats of a chip that were not measured yet."""
        die = self.die(found, point)
        known = 0 if die is None or WITH_DATA in point.overrides else len(die.accuracies)
        return range(known, max(self._request.repeats, known))

    def add(self, found: Evaluation, point: Point, config: Config, got: Measured, *, first: bool) -> Evaluation:
        """With one more evaluation of a chip, and written. first: it begins the chip's series anew."""
        before = None if first else self.die(found, point)
        accuracies, losses, seconds = ((), (), ()) if before is None else _series(before)
        condition, level = condition_of(point.overrides), spread_of(point.overrides)
        apart: dict[str, Any] = {"conditions": condition} if condition else {}
        apart |= {"die_spread": level} if level else {}
        die = DieResult(
            name=point.name,
            own=len(condition) == len(point.overrides) and self.is_own(config),
            **apart,
            overrides=dict(point.overrides),
            accuracies=(*accuracies, got.accuracy),
            losses=(*losses, got.loss),
            seconds=(*seconds, round(got.seconds, 4)),
        )
        calibration = None if found.calibration is None else calibration_for(self._trained, config)
        return self._written(found, summarised(_with_die(found, die), self._request.levels, calibration))

    def die(self, found: Evaluation, point: Point) -> DieResult | None:
        """What was measured on a chip."""
        return next((die for die in found.dies if die.overrides == dict(point.overrides)), None)

    def images(self, config: Config) -> int:
        there = len(self._dataset.test)
        return min(self._request.images or config.data.test_limit or there, there)

    def is_own(self, config: Config) -> bool:
        """Whether a config without a die's keys is of the chip that the network was trained on."""
        own, now = self._trained.known_config.imc, config.imc
        same = all(getattr(own, key, None) == getattr(now, key, None) for key in DIE)
        return same and own.path not in OFF_THE_ARRAY and now.path not in OFF_THE_ARRAY

    def own_name(self, config: Config) -> str:
        if config.imc.path in OFF_THE_ARRAY:
            return config.imc.path
        return "training die" if self.is_own(config) else f"die {config.imc.chip_seed}"

    def _written(self, before: Evaluation, found: Evaluation) -> Evaluation:
        if found != before:
            self._kept().with_one(found).write(self._files.evaluations)
        return found

    def _kept(self) -> Evaluations:
        return (
            Evaluations.read(self._files.evaluations)
            if self._files.evaluations.is_file()
            else Evaluations(schema_version=VERSION)
        )

    def _key(self, config: Config, calibration: str | None, remedies: tuple[str, ...], images: int) -> str:
        imc = config.imc.model_dump(mode="json", exclude={"calibration", "memory_mib"})
        content = {
            "network": self._trained.sha256,
            "evaluation": self._trained.evaluation,
            "imc": "float" if config.imc.path == "float" else imc,
            "calibration": calibration,
            "data": [config.data.name, self._dataset.content, images, config.data.eval_batch_size],
            "seed": config.seed,
            "recalibrate": remedies,
            "training_images": [self._request.calibration_images, config.data.batch_size],
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _with_die(found: Evaluation, die: DieResult) -> Evaluation:
    dies = [die if other.overrides == die.overrides else other for other in found.dies]
    if die not in dies:
        dies.append(die)
    return found.replace(dies=[die.plain() for die in dies])


def _series(die: DieResult) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    return die.accuracies, die.losses, die.seconds


def _name(overrides: Mapping[str, Any], remedies: tuple[str, ...]) -> str:
    changed = ", ".join(f"{key.removeprefix('imc.')}={value}" for key, value in overrides.items())
    again = f"{', '.join(remedies)} recalibrated" if remedies else ""
    return ", ".join(filter(None, [changed, again])) or "as trained"

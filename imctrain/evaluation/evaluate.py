"""Evaluations of a trained network, into a folder that keeps all there were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import PyTree
from rich.console import Console

from imctrain.data import Dataset, load
from imctrain.errors import UserError
from imctrain.evaluation.evaluator import Evaluator, alike, calibration_for
from imctrain.evaluation.on_training_images import BatchStatistics, calibrate_sites, sites_to_calibrate
from imctrain.evaluation.overrides import Overrides, Point, overridden
from imctrain.evaluation.progress import EvaluationProgress
from imctrain.evaluation.summary import summarise
from imctrain.experiment.identity import calibration_hash
from imctrain.experiment.trained import Trained
from imctrain.intercept.program import Chips
from imctrain.records.evaluation import DieResult, Evaluation, Evaluations
from imctrain.settings import Config
from imctrain.training.signals import StopRequest

FILE = "evaluate.json"
OFFSET_CONVERSIONS = 64
"""Readings at zero input of every column in `--recalibrate offsets`, where the config has none: as preset "robust"."""
REMEDIES = ("offsets", "batch-norm")
WITH_DATA = "imc.calibration"
"""A die of a calibration of its own is measured anew: the file may be another one."""


@dataclass(frozen=True)
class Request:
    """What is asked of a trained network.

    Attributes:
        overrides: keys of its config with other values, for all chips. others: chips beside the config's own.
        repeats: evaluations of each chip, with noise of their own. images: test images; None for those of the training.
        recalibrate: remedies; the network is evaluated without any, then with one after the other added.
        calibration_images: training images for what is calibrated on them.
    """

    overrides: Overrides = field(default_factory=dict)
    others: tuple[Point, ...] = ()
    repeats: int = 1
    images: int | None = None
    recalibrate: tuple[str, ...] = ()
    calibration_images: int = 512


def evaluate(trained: Trained, request: Request, out: Path, console: Console) -> list[Evaluation]:
    """Evaluate, and write what was found into `out`/evaluate.json after every evaluation of the test images.

    What is there already is kept, and not measured again. Raises UserError for what is not possible, and Interrupted on
    a signal: all that was finished is written.
    """
    from filelock import FileLock, Timeout

    config = overridden(trained.known_config, request.overrides)
    if request.others and config.imc.path == "float":
        raise UserError("imc.path = 'float' has no dies: put the network on the array with --set imc.path=exact")
    dataset = load(config.data.name, config.data.data_dir)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0), StopRequest() as stop:
            session = _Session(trained, request, dataset, out / FILE, console, stop)
            return [session.evaluate(config, remedies) for remedies in _steps(request.recalibrate)]
    except Timeout:
        raise UserError(f"{out} is being written by another evaluation: wait for it, or give another --out") from None


def _steps(remedies: Sequence[str]) -> list[tuple[str, ...]]:
    """Without any, and with one more each time."""
    unknown = next((name for name in remedies if name not in REMEDIES), None)
    if unknown is not None:
        raise UserError(f"--recalibrate {unknown}: allowed are {', '.join(REMEDIES)}")
    chosen = tuple(dict.fromkeys(remedies))
    return [chosen[:count] for count in range(len(chosen) + 1)]


class _Session:
    """One call of `evaluate`: evaluators of equal hardware are shared."""

    def __init__(
        self, trained: Trained, request: Request, dataset: Dataset, path: Path, console: Console, stop: StopRequest
    ):
        self._trained, self._request, self._dataset = trained, request, dataset
        self._path, self._console, self._stop = path, console, stop
        self._known: dict[Config, tuple[Evaluator, int]] = {}

    def evaluate(self, config: Config, remedies: tuple[str, ...]) -> Evaluation:
        """All chips with some remedies."""
        overrides = dict(self._request.overrides)
        notes = []
        if "offsets" in remedies and config.imc.path != "float":
            if config.imc.adc.offset_conversions:
                count = config.imc.adc.offset_conversions
                notes.append(f"offsets are calibrated in any case: imc.adc.offset_conversions = {count}")
            else:
                config = overridden(config, {"imc.adc.offset_conversions": OFFSET_CONVERSIONS})
        found = self._begin(config, overrides, remedies, notes)
        points = [Point(self._own_name(config)), *self._request.others]
        missing = {point.name: self._missing(found, point) for point in points}
        if any(missing.values()) and not self._all_known_alike(found):
            found = self._measure(config, found, points, remedies)
        return found

    def _measure(self, config: Config, found: Evaluation, points: list[Point], remedies: tuple[str, ...]) -> Evaluation:
        evaluator, calibrated = self._evaluator(config)
        chips = [evaluator.chips(point) for point in points]
        notes = list(dict.fromkeys([*found.notes, *evaluator.warnings]))
        if calibrated:
            notes.append(f"ranges and learned clips are calibrated on {calibrated} training images")
        if len(points) > 1 and alike(chips):
            notes.append(_alike(found))
            points, chips = points[:1], chips[:1]
        statistics = None
        if "batch-norm" in remedies:
            statistics = BatchStatistics(self._trained, evaluator, self._request.calibration_images)
            calibrated = max(calibrated, statistics.images)
        found = found.replace(notes=list(dict.fromkeys(notes)), calibration_images=calibrated)
        work = sum(len(self._missing(found, point)) for point in points)
        with EvaluationProgress(self._console, found.name, work) as progress:
            seconds = evaluator.compile(chips[0], evaluator.rest)
            progress.say(f"{found.name}: {found.images} test images, compiled in {seconds:.1f} s")
            for point, chip in zip(points, chips, strict=True):
                found = self._point(evaluator, found, point, chip, statistics, progress)
        return found

    def _point(
        self,
        evaluator: Evaluator,
        found: Evaluation,
        point: Point,
        chip: Chips,
        statistics: BatchStatistics | None,
        progress: EvaluationProgress,
    ) -> Evaluation:
        """One chip, written after each repeat."""
        missing = self._missing(found, point)
        rest: PyTree = evaluator.rest if statistics is None or not missing else statistics.on(chip)
        for repeat in missing:
            got = evaluator.measure(chip, rest, repeat, self._stop)
            before = None if repeat == 0 else _die(found, point)
            accuracies, losses, seconds = ((), (), ()) if before is None else _series(before)
            die = DieResult(
                name=point.name,
                own=not point.overrides and self._is_own(evaluator.config),
                overrides=dict(point.overrides),
                accuracies=(*accuracies, got.accuracy),
                losses=(*losses, got.loss),
                seconds=(*seconds, round(got.seconds, 4)),
            )
            found = _with_die(found, die)
            found = found.replace(summary=summarise(found.dies, found.baseline_accuracy).plain())
            Evaluations.with_one(self._kept(), found).write(self._path)
            progress.measured(point.name, got.accuracy)
        return found

    def _evaluator(self, config: Config) -> tuple[Evaluator, int]:
        """With its sites calibrated where the training gave them nothing; the training images that this took."""
        if config not in self._known:
            evaluator = Evaluator(self._trained, config, self._dataset, self._images(config))
            names, used = sites_to_calibrate(evaluator), 0
            if names:
                told = ", ".join(names)
                self._say(f"calibrating ranges and learned clips on training images: {told}")
                chips = evaluator.chips(Point("its own die"))
                used = calibrate_sites(evaluator, names, chips, self._request.calibration_images)
            self._known[config] = evaluator, used
        return self._known[config]

    def _begin(
        self, config: Config, overrides: dict[str, Any], remedies: tuple[str, ...], notes: list[str]
    ) -> Evaluation:
        """The evaluation as it is kept, or one without dies."""
        calibration = None if config.imc.path == "float" else calibration_for(self._trained, config)
        sha256 = None if calibration is None else calibration_hash(calibration)
        images = self._images(config)
        key = self._key(config, sha256, remedies, images)
        kept = self._kept().find(key)
        if kept is not None:
            return kept
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

    def _missing(self, found: Evaluation, point: Point) -> range:
        """Repeats of a chip that were not measured yet."""
        die = _die(found, point)
        known = 0 if die is None or WITH_DATA in point.overrides else len(die.accuracies)
        return range(known, max(self._request.repeats, known))

    def _all_known_alike(self, found: Evaluation) -> bool:
        return _alike(found) in found.notes and not self._missing(found, Point(""))

    def _images(self, config: Config) -> int:
        there = len(self._dataset.test)
        return min(self._request.images or config.data.test_limit or there, there)

    def _is_own(self, config: Config) -> bool:
        """Whether a config without a die's keys is of the chip that the network was trained on."""
        own = self._trained.known_config.imc
        same = (own.chip_seed, own.calibration) == (config.imc.chip_seed, config.imc.calibration)
        return same and own.path not in ("float", "digital") and config.imc.path not in ("float", "digital")

    def _own_name(self, config: Config) -> str:
        if config.imc.path in ("float", "digital"):
            return config.imc.path
        return "training die" if self._is_own(config) else f"die {config.imc.chip_seed}"

    def _kept(self) -> Evaluations:
        return Evaluations.read(self._path) if self._path.is_file() else Evaluations(schema_version="1.0")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _alike(found: Evaluation) -> str:
    return (
        f"all dies are alike: calibration {found.calibration} has no spread of columns here, so other dies were not "
        "evaluated"
    )


def _die(found: Evaluation, point: Point) -> DieResult | None:
    return next((die for die in found.dies if die.overrides == dict(point.overrides)), None)


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

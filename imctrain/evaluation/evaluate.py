"""Evaluations of a trained network, into a folder that keeps all there were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import PyTree
from rich.console import Console

from imctrain.calibration.schema.die_spread import spread_bounds_unknown
from imctrain.data import Dataset, load
from imctrain.errors import UserError
from imctrain.evaluation.evaluator import Evaluator, alike
from imctrain.evaluation.keeping import Keeper, Request
from imctrain.evaluation.on_training_images import BatchStatistics, calibrate_sites, sites_to_calibrate
from imctrain.evaluation.overrides import DIE, Point, at_condition, condition_of, overridden
from imctrain.evaluation.progress import EvaluationProgress
from imctrain.experiment.trained import Trained
from imctrain.intercept.program import Chips
from imctrain.records.evaluation import Evaluation
from imctrain.records.layout import EvaluationFiles
from imctrain.records.result import OFF_THE_ARRAY
from imctrain.settings import Config
from imctrain.training.signals import StopRequest

READINGS = {"offsets": "imc.adc.offset_conversions", "gains": "imc.adc.gain_conversions"}
"""Remedies that read every column of a die, and the keys that count readings."""
CONVERSIONS = 64
"""Readings where the config has none: as preset "robust" has of offsets."""
REMEDIES = (*READINGS, "batch-norm")


def evaluate(trained: Trained, request: Request, out: Path, console: Console) -> list[Evaluation]:
    """Evaluate, and write what was found into `out`/evaluate.json after every evaluation of the test images.

    What is there already is kept, and not measured again. Raises UserError for what is not possible, and Interrupted on
    a signal: all that was finished is written.
    """
    from filelock import FileLock, Timeout

    config = overridden(trained.known_config, request.overrides)
    if (request.others or request.conditions) and config.imc.path in OFF_THE_ARRAY:
        raise UserError(
            f"imc.path = {config.imc.path!r} has neither dies nor conditions: put the network on the array with "
            "--set imc.path=exact"
        )
    dataset = load(config.data.name, config.data.data_dir)
    out.mkdir(parents=True, exist_ok=True)
    files = EvaluationFiles(out)
    try:
        with FileLock(files.lock, timeout=0), StopRequest() as stop:
            session = _Session(trained, request, dataset, files, console, stop)
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
        self,
        trained: Trained,
        request: Request,
        dataset: Dataset,
        files: EvaluationFiles,
        console: Console,
        stop: StopRequest,
    ):
        self._trained, self._request, self._dataset = trained, request, dataset
        self._console, self._stop = console, stop
        self._keeper = Keeper(trained, request, dataset, files)
        self._known: dict[Config, tuple[Evaluator, int]] = {}

    def evaluate(self, config: Config, remedies: tuple[str, ...]) -> Evaluation:
        """All chips with some remedies."""
        notes = []
        for remedy, key in READINGS.items() if config.imc.path != "float" else ():
            count = getattr(config.imc.adc, key.rpartition(".")[2])
            if remedy in remedies and count:
                notes.append(f"{remedy} are calibrated in any case: {key} = {count}")
            elif remedy in remedies:
                config = overridden(config, {key: CONVERSIONS})
        found = self._keeper.begin(config, remedies, notes)
        dies = [Point(self._keeper.own_name(config)), *self._request.others]
        points = [*dies, *self._request.at_spread]
        points += [at_condition(die, condition) for condition in self._request.conditions for die in dies]
        if _alike(found) in found.notes:
            points = [point for point in points if _is_own(point)]
        if any(self._keeper.missing(found, point) for point in points):
            found = self._measure(config, found, points, remedies)
        return found

    def _measure(self, config: Config, found: Evaluation, points: list[Point], remedies: tuple[str, ...]) -> Evaluation:
        evaluator, calibrated = self._evaluator(config)
        chips = [evaluator.chips(point) for point in points]
        notes = list(dict.fromkeys([*found.notes, *evaluator.warnings]))
        if calibrated:
            notes.append(f"ranges and learned clips are calibrated on {calibrated} training images")
        dies = [number for number, point in enumerate(points) if not condition_of(point.overrides)]
        if len(dies) > 1 and alike([chips[number] for number in dies]):
            notes.append(_alike(found))
            kept = [number for number, point in enumerate(points) if _is_own(point)]
            points, chips = [points[number] for number in kept], [chips[number] for number in kept]
        if any(condition_of(point.overrides) for point in points) and found.calibration_provenance != "measured":
            notes.append(f"temperature and supply: slopes of {found.calibration} are {found.calibration_provenance}")
        if any(isinstance(point.overrides.get(DIE), int) for point in points):
            notes += filter(None, [spread_bounds_unknown(evaluator.calibration(config))])
        statistics = None
        if "batch-norm" in remedies:
            statistics = BatchStatistics(self._trained, evaluator, self._request.calibration_images)
            calibrated = max(calibrated, statistics.images)
        found = found.replace(notes=list(dict.fromkeys(notes)), calibration_images=calibrated)
        work = sum(len(self._keeper.missing(found, point)) for point in points)
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
        missing = self._keeper.missing(found, point)
        rest: PyTree = evaluator.rest if statistics is None or not missing else statistics.on(chip)
        for repeat in missing:
            got = evaluator.measure(chip, rest, repeat, self._stop)
            found = self._keeper.add(found, point, evaluator.config, got, first=repeat == 0)
            progress.measured(point.name, got.accuracy)
        return found

    def _evaluator(self, config: Config) -> tuple[Evaluator, int]:
        """With its sites calibrated where the training gave them nothing; the training images that this took."""
        if config not in self._known:
            evaluator = Evaluator(self._trained, config, self._dataset, self._keeper.images(config))
            names, used = sites_to_calibrate(evaluator), 0
            if names:
                told = ", ".join(names)
                self._say(f"calibrating ranges and learned clips on training images: {told}")
                chips = evaluator.chips(Point("its own die"))
                used = calibrate_sites(evaluator, names, chips, self._request.calibration_images)
            self._known[config] = evaluator, used
        return self._known[config]

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _is_own(point: Point) -> bool:
    """Whether a point is the evaluation's own die, at whatever condition."""
    return len(condition_of(point.overrides)) == len(point.overrides)


def _alike(found: Evaluation) -> str:
    return (
        f"all dies are alike: calibration {found.calibration} has no spread of columns here, or no site is on the "
        "array; other dies were not evaluated"
    )

"""What a sweep will take before it starts: trials, minutes on this machine, joules on the chip; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imctrain.errors import UserError
from imctrain.experiment.costing import data_shape
from imctrain.files import scratch_folder
from imctrain.records.result import Result
from imctrain.settings import Config, config_hash
from imctrain.settings.experiment import CheckpointConfig
from imctrain.studies.energy import count
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.live_table import duration
from imctrain.sweep.spec import SweepSpec, expand
from imctrain.sweep.train import check_hardware
from imctrain.sweep.trial import Trial
from imctrain.units import joules

TimeStep = Callable[[Config, Path], tuple[float, float]]
"""(seconds of a step, seconds of its compilation) of a config (`bench.trial_step`)."""


@dataclass(frozen=True)
class PlannedTrial:
    """A trial that a sweep stands for, and what is there of it: waiting, stopped, done ..."""

    trial: Trial
    state: str
    seconds: float | None
    """That it took, compilation included, where it is done."""


def planned(spec: SweepSpec, folder: SweepFolder) -> list[PlannedTrial]:
    """Trials of a sweep in its order, as `sweep` would train them. Raises UserError for one that is not possible."""
    trials = expand(spec)
    home = Path(spec.config).parent
    check_hardware(trials, home)
    found = []
    with scratch_folder() as scratch:
        # A key holds hashes of files that the config names; the sweep's own folder stays as it is.
        names = SweepFolder(scratch)
        for trial in trials:
            key = names.key(trial.config, home)
            state, files = folder.status(key).state, folder.trial(key)
            took = None
            if state == "done":
                result = Result.read(files.result)
                took = result.seconds + result.compile_seconds
            found.append(PlannedTrial(trial, state, took))
    return found


def listed(trials: Sequence[PlannedTrial]) -> list[str]:
    """A line for each trial."""
    return [f"{one.trial.title}: {one.state}" for one in trials]


def estimate(trials: Sequence[PlannedTrial], home: Path, jobs: int, time_step: TimeStep) -> list[str]:
    """Lines that say what is left to train, and where each figure comes from.

    Args:
        home: folder of the sweep's config. jobs: trials at a time. time_step: measures a step where no trial of that
            kind is done.
    """
    left = [one for one in trials if one.state != "done"]
    lines = [f"{len(trials)} trials, {len(trials) - len(left)} of them done: {len(left)} to train"]
    if not left:
        return lines
    seconds, sources = _seconds(trials, left, home, time_step)
    at_once = min(jobs, len(left))
    lines.append(
        f"time: {duration(seconds)} of training one after the other, about {duration(seconds / at_once)} with "
        f"{at_once} at a time if they do not slow each other ({'; '.join(sources)})"
    )
    return [*lines, _energy(left, home)]


def _seconds(
    trials: Sequence[PlannedTrial], left: Sequence[PlannedTrial], home: Path, time_step: TimeStep
) -> tuple[float, list[str]]:
    """Of all that is left, and where that is known from."""
    done: dict[str, list[float]] = {}
    for one in trials:
        if one.seconds is not None:
            done.setdefault(_kind(one.trial.config), []).append(one.seconds)
    measured: dict[str, tuple[float, float]] = {}
    total, from_done, from_steps = 0.0, 0, 0
    for one in left:
        config, kind = one.trial.config, _kind(one.trial.config)
        if kind in done:
            total += sum(done[kind]) / len(done[kind])
            from_done += 1
            continue
        if kind not in measured:
            measured[kind] = time_step(config, home)
        step, compilation = measured[kind]
        steps = config.training.total_steps(_steps_an_epoch(config))
        total += compilation + steps * step
        from_steps += 1
    sources = []
    if from_done:
        sources.append(f"{from_done} from {sum(map(len, done.values()))} done trials of their kind")
    if from_steps:
        sources.append(
            f"{from_steps} from steps of {len(measured)} kind(s), measured now on this machine, without evaluation"
        )
    return total, sources


def _energy(left: Sequence[PlannedTrial], home: Path) -> str:
    """On the chip."""
    total = 0.0
    names: dict[str, None] = {}
    for one in left:
        try:
            found = count(one.trial.config, home).energy
        except UserError as error:
            return f"energy: not known before training ({error})"
        total += found.energy_training_j
        names[f"{found.technology}, {found.provenance}"] = None
    return (
        f"energy: {joules(total)} on the chip, whole steps without evaluation (cost model, {' and '.join(names)}; not "
        "that of this machine)"
    )


def _steps_an_epoch(config: Config) -> int:
    return max(data_shape(config).train_images // config.data.batch_size, 1)


def _kind(config: Config) -> str:
    """The same for trials that take as long: seeds, noise levels and dies compile nothing new."""
    imc = config.imc.replace(
        chip_seed=0, chip=type(config.imc.chip)(), noise=config.imc.noise.replace(sigma_lsb=None, scale=1.0)
    )
    same = {"name": "trial", "seed": 0, "tensorboard": False, "checkpoint": CheckpointConfig(), "imc": imc}
    silent = config.imc.noise.sigma_lsb == 0
    return f"{config_hash(config.replace(**same))}{silent}"

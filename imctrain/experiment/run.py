"""A run: train (and a float baseline where asked for), from the start or from where it stopped, into a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from imctrain.data import Dataset, load
from imctrain.errors import UserError
from imctrain.experiment.advice import (
    hardware_problems,
    hardware_warnings,
    refuse_zeros,
    training_warnings,
    warn,
)
from imctrain.experiment.continuing import CHANGED, about_run, finished_with
from imctrain.experiment.folder import RESULT_VERSION, claim, new_folder, write_start
from imctrain.experiment.identity import calibration_hash, identity
from imctrain.experiment.ledger_table import ledger_markdown, ledger_records
from imctrain.experiment.setup import Setup, set_up
from imctrain.files import write_json, write_text
from imctrain.imc.forecast.advice import Problem
from imctrain.settings import Config, config_hash, load_kept_config
from imctrain.training.loop import Trainer
from imctrain.training.parallel import DataParallel
from imctrain.training.position import Position
from imctrain.training.progress import TrainingProgress
from imctrain.training.signals import StopRequest


@dataclass
class Place:
    """Filled in with the run's folder as soon as there is one, so that an interrupted caller can name it."""

    folder: Path | None = None


def start(config: Config, out: Path | None, config_dir: Path, console: Console, place: Place) -> dict[str, Any]:
    """Train a new run. Everything that can be wrong with the input is found before the folder is made.

    Returns the content of result.json. Raises UserError, Diverged or Interrupted.
    """
    console.print(f"loading data set {config.data.name} ...", markup=False, highlight=False, soft_wrap=True)
    dataset = load(config.data.name, config.data.data_dir)
    parallel = _parallel(config)
    setup = set_up(config, dataset, config_dir)
    refuse_zeros(hardware_problems(setup))
    folder = place.folder = new_folder(config, out)
    with claim(folder):
        if setup.calibration is not None:
            # The run keeps its own copy: it can be resumed and read when the calibration has moved on.
            write_text(folder / "calibration.json", setup.calibration.model_dump_json(indent=1) + "\n")
        write_start(folder, config)
        return _train(config, dataset, setup, folder, parallel, console)


def resume(folder: Path, console: Console, place: Place, accept: Sequence[str] = ()) -> dict[str, Any]:
    """Continue a run from its newest good checkpoint, to the same bits as if it had not stopped.

    What the folder says now must be what the checkpoint was trained with, but for the keys in `accept` (dotted, or
    tables of them); result.json lists what changed. Raises UserError for any other difference.
    """
    if not (folder / "config.toml").is_file():
        raise UserError(f"{folder} holds no run (no config.toml): give the folder that `imctrain run` made")
    if (folder / "result.json").is_file():
        raise UserError(f"{folder} is finished already: its result is in {folder / 'result.json'}")
    place.folder = folder
    with claim(folder):
        config = load_kept_config(folder / "config.toml")
        console.print(f"loading data set {config.data.name} ...", markup=False, highlight=False, soft_wrap=True)
        dataset = load(config.data.name, config.data.data_dir)
        parallel = _parallel(config)
        saved = folder / "calibration.json"
        if saved.is_file():
            imc = config.imc.model_copy(update={"calibration": str(saved.absolute())})
            setup = set_up(config.model_copy(update={"imc": imc}), dataset)
        else:
            setup = set_up(config, dataset)
        return _train(config, dataset, setup, folder, parallel, console, accept)


def _parallel(config: Config) -> DataParallel:
    sizes = {"data.batch_size": config.data.batch_size, "data.eval_batch_size": config.data.eval_batch_size}
    return DataParallel(sizes)


def _train(
    config: Config,
    dataset: Dataset,
    setup: Setup,
    folder: Path,
    parallel: DataParallel,
    console: Console,
    accept: Sequence[str] = (),
) -> dict[str, Any]:
    from imctrain.report.learning_curve import plot_learning_curve

    # Before anything is written: an edited folder stays as it is.
    about = _about(folder, config, dataset, setup, accept, console)
    if setup.ledger is not None:
        write_json(folder / "ledger.json", ledger_records(setup.ledger))
        write_text(folder / "ledger.md", ledger_markdown(setup.ledger))
    problems = hardware_problems(setup)
    warn(console, hardware_warnings(problems))
    with StopRequest() as stop:
        baseline = None
        if config.baseline and config.imc.path != "float":
            baseline = _baseline(config, dataset, folder, parallel, console, stop, accept)
        title = f"{config.model.name} ({config.imc.path})"
        result = _one(config, dataset, setup, folder, parallel, console, stop, title, about, problems)
    if baseline is not None:
        result["baseline_test_accuracy"] = baseline["test_accuracy"]
        result["baseline_seconds_per_epoch"] = baseline["seconds_per_epoch"]
        if baseline.get(CHANGED):
            result[f"baseline_{CHANGED}"] = baseline[CHANGED]
    plot_learning_curve(folder, folder / "learning_curve.png")
    write_json(folder / "result.json", result)
    return result


def _baseline(
    config: Config,
    dataset: Dataset,
    folder: Path,
    parallel: DataParallel,
    console: Console,
    stop: StopRequest,
    accept: Sequence[str],
) -> dict[str, Any]:
    """The same network, data order and recipe in float, in baseline/; trained once, kept on resume if it fits."""
    where = folder / "baseline"
    float_config = config.model_copy(
        update={"imc": config.imc.model_copy(update={"path": "float", "rules": ()}), "baseline": False}
    )
    if (where / "result.json").is_file():
        differs = finished_with(where, float_config, dataset, accept)
        kept = json.loads((where / "result.json").read_text(encoding="utf-8"))
        return kept | {CHANGED: [*kept.get(CHANGED, []), *differs]}
    setup = set_up(float_config, dataset)
    about = _about(where, float_config, dataset, setup, accept, console)
    where.mkdir(exist_ok=True)
    write_start(where, float_config)
    title = f"{config.model.name} (float baseline)"
    result = _one(float_config, dataset, setup, where, parallel, console, stop, title, about, [])
    write_json(where / "result.json", result)
    return result


def _about(
    folder: Path, config: Config, dataset: Dataset, setup: Setup, accept: Sequence[str], console: Console
) -> dict[str, Any]:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    return about_run(folder, config, identity(config, dataset, setup.calibration), accept, say)


def _one(
    config: Config,
    dataset: Dataset,
    setup: Setup,
    folder: Path,
    parallel: DataParallel,
    console: Console,
    stop: StopRequest,
    title: str,
    about: dict[str, Any],
    problems: list[Problem],
) -> dict[str, Any]:
    # What the result is of: a reader can tell that config.toml was edited later.
    trained = hashlib.sha256((folder / "config.toml").read_bytes()).hexdigest()
    trainer = Trainer(config, dataset, setup.steps, setup.ledger, folder, parallel, about)
    steps = trainer.steps_per_epoch
    with TrainingProgress(console, title, trainer.total_steps, steps) as progress:
        progress.say(f"{title}: {setup.network.parameter_count:,} parameters, {steps} steps an epoch; compiling ...")
        _, position = trainer.run(progress, stop)
    after = training_warnings(config, dataset, folder, problems)
    warn(console, after)
    result = _result(config, dataset, setup, position, trainer.total_steps)
    result |= {"warnings": [*hardware_warnings(problems), *position.warnings, *after]}
    return result | {"config_toml_sha256": trained} | ({CHANGED: about[CHANGED]} if about[CHANGED] else {})


def _result(config: Config, dataset: Dataset, setup: Setup, position: Position, steps: int) -> dict[str, Any]:
    """result.json of one trained network."""
    epochs = position.epoch_seconds
    result: dict[str, Any] = {
        "schema_version": RESULT_VERSION,
        "name": config.name,
        "test_accuracy": position.test_accuracy,
        "test_images": min(len(dataset.test), config.data.test_limit or len(dataset.test)),
        "best_test_accuracy": position.best_accuracy,
        "epochs": len(epochs),
        "steps": steps,
        "seconds": round(position.seconds, 3),
        "seconds_per_epoch": round(sum(epochs) / len(epochs), 3),
        "compile_seconds": round(position.compile_seconds, 3),
        "path": config.imc.path,
        "dataset": config.data.name,
        "dataset_source": dataset.source.as_dict(),
        "dataset_content": dataset.content,
        "model": config.model.name,
        "parameters": setup.network.parameter_count,
        "config_hash": config_hash(config),
        "seed": config.seed,
        "clipped_fraction": position.last_clipped,
    }
    if setup.hardware is not None and setup.ledger is not None and setup.calibration is not None:
        exact = config.imc.path != "digital"
        result |= {
            "calibration": setup.calibration.name if exact else None,
            "calibration_provenance": setup.calibration.provenance if exact else None,
            "calibration_sha256": calibration_hash(setup.calibration) if exact else None,
            "sigma_lsb": setup.hardware.total_lsb if exact else None,
            "mvms_on_array": list(config.imc.mvms) if exact else [],
            "sites": {entry.name: entry.path for entry in setup.ledger},
            "statistical_share": position.statistical or None,
            "worst_site": dict(zip(("site", "mvm", "snr_db"), position.worst, strict=True)) if position.worst else None,
        }
    return result

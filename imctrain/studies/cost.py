"""`imctrain cost`: an experiment's bill, and what a change of the chip would bring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imctrain.cost.step import MeasuredDrives
from imctrain.cost.summary import summary
from imctrain.errors import UserError
from imctrain.experiment.codes_driven import drives_of_reports, drives_of_run
from imctrain.experiment.costing import Training, training_of
from imctrain.experiment.epochs import at_epoch
from imctrain.experiment.own_sources import with_own_code
from imctrain.records.layout import RunFiles
from imctrain.settings import Config, load_kept_config
from imctrain.studies.inspect import reports_of_batch
from imctrain.training.sites import flatten_reports


def bill(
    config: Config, config_dir: Path | None = None, measured: MeasuredDrives | None = None, epoch: int | None = None
) -> dict[str, Any]:
    """A config's training as plain numbers (`cost.summary`), with its what-ifs.

    Args:
        measured: codes that were really driven, for a value-aware figure beside the fixed one.
        epoch: whose conditions count, where they change over the training; the first by default. They set the noise
            that converters are priced with, and nothing else of a bill.

    Raises UserError for what cannot be priced or built.
    """
    config, told = at_epoch(config, epoch)
    training = training_of(config, config_dir)
    cost = training.cost(measured)
    content = summary(cost, steps=training.steps, steps_per_epoch=training.steps_per_epoch)
    content["notes"] = [*told, *content["notes"]]
    return {"name": config.name, **content, "what_if": _what_if(training)}


def bill_of_run(
    folder: Path, technology: str | None = None, supply_v: float | None = None, epoch: int | None = None
) -> dict[str, Any]:
    """Of a training that was done, with the codes that it drove where it counted them. Raises UserError."""
    run = RunFiles(folder)
    if not run.is_run:
        raise UserError(f"{folder} holds no run (no config.toml): give the folder that `imctrain run` made")
    config = load_kept_config(run.config)
    changes = {"technology": technology, "supply_v": supply_v}
    chosen = {key: value for key, value in changes.items() if value is not None}
    imc = config.imc
    if run.calibration.is_file():
        imc = imc.model_copy(update={"calibration": str(run.calibration.absolute())})
    config = with_own_code(config.model_copy(update={"imc": imc, "cost": config.cost.replace(**chosen)}), run)
    return bill(config, folder, drives_of_run(run), epoch)


def drives_of_batch(config: Config, config_dir: Path) -> MeasuredDrives | None:
    """Codes that one real batch drives, forward and backward, with untrained weights; None in float training."""
    if config.imc.path == "float":
        return None
    counting = config.model_copy(update={"cost": config.cost.replace(value_aware=True)})
    reports = reports_of_batch(counting, config_dir)
    return drives_of_reports([flatten_reports(reports)])


def _what_if(training: Training) -> list[dict[str, Any]]:
    """The same step with other macros, with operands split over what macros are free, and with one write for the
    forward MVM and dX."""
    if not any(line.on_array for line in training.step.lines):
        return []
    macros = training.prices.macros
    changes = {
        f"{macros + 1} macros": training.cost(macros=macros + 1),
        f"{2 * macros} macros": training.cost(macros=2 * macros),
        "split_vectors": training.cost(split=True),
        "shared transposed write": training.cost(shared_writes=True),
    }
    return [
        {"what": what, "seconds_step": cost.seconds_step, "energy_step_j": cost.energy_step_j}
        for what, cost in changes.items()
    ]

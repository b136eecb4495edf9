"""`imctrain cost`: an experiment's bill, and what a change of the chip would bring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imctrain.cost.summary import summary
from imctrain.experiment.costing import Training, training_of
from imctrain.settings import Config


def bill(config: Config, config_dir: Path | None = None) -> dict[str, Any]:
    """A config's training as plain numbers (`cost.summary`), with its what-ifs. Raises UserError."""
    training = training_of(config, config_dir)
    content = summary(training.cost(), steps=training.steps, steps_per_epoch=training.steps_per_epoch)
    return {"name": config.name, **content, "what_if": _what_if(training)}


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

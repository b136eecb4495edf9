"""One epoch of an experiment whose conditions change over its training: for what looks at a single step."""

from __future__ import annotations

from imctrain.errors import UserError
from imctrain.records.result import OFF_THE_ARRAY
from imctrain.settings import Config

UNITS = {"temperature_c": "C", "supply_v": "V"}


def at_epoch(config: Config, epoch: int | None) -> tuple[Config, list[str]]:
    """The config with the conditions of one epoch, the first by default, and what to say of it.

    Raises UserError for an epoch of a config whose conditions do not change, and for one beyond the training.
    """
    conditions = config.imc.conditions
    scheduled = len(conditions.epochs) > 1 and config.imc.path not in OFF_THE_ARRAY
    if not scheduled:
        if epoch is not None:
            raise UserError(
                f"--epoch {epoch}: imc.conditions has no schedule, so that all epochs are alike: leave --epoch out"
            )
        return config, []
    chosen = 0 if epoch is None else epoch
    if config.training.steps is None and not 0 <= chosen < config.training.epochs:
        raise UserError(f"--epoch {chosen} is not possible: the training has epochs 0 to {config.training.epochs - 1}")
    then = conditions.at(chosen)
    values = [f"{value:g} {UNITS[key]}" for key in UNITS if (value := getattr(then, key)) is not None]
    other = "" if epoch is not None else "; --epoch N shows another one"
    note = f"conditions change over the training: shown is epoch {chosen}, at {', '.join(values)}{other}"
    return config.model_copy(update={"imc": config.imc.model_copy(update={"conditions": then})}), [note]

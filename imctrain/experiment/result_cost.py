"""Energy and chip time in a run's result: counted before the training, on the technology that its config names."""

from __future__ import annotations

from pathlib import Path

from imctrain.cost.energy import COMPONENTS
from imctrain.cost.step import StepCost
from imctrain.data import Dataset
from imctrain.experiment.codes_driven import drives_of_run
from imctrain.experiment.costing import Training, data_shape, training_of
from imctrain.files import JsonValue
from imctrain.records.layout import RunFiles
from imctrain.settings import Config


def counted(config: Config, dataset: Dataset, config_dir: Path | None = None) -> Training:
    """A training on data that are loaded. Raises UserError for a technology that cannot be read."""
    training = training_of(config, config_dir, data_shape(config, dataset))
    training.cost()
    return training


def result_keys(training: Training, steps: int, run: RunFiles) -> dict[str, JsonValue]:
    """Keys of a result: of `steps` steps at the cost of one, with the codes that the run counted if it did."""
    cost = training.cost(drives_of_run(run))
    energy = cost.energy.total
    aware = {} if cost.value_aware_j is None else {"energy_value_aware_j": cost.value_aware_j}
    return {
        "cost_technology": cost.technology,
        "cost_provenance": energy.provenance,
        "energy_step_j": energy.value,
        "energy_step_band_j": [energy.low, energy.high],
        "energy_training_j": steps * energy.value,
        "energy_components_j": {name: getattr(cost.energy, name).value for name in COMPONENTS},
        "seconds_training_chip": steps * cost.seconds_step,
        "fj_per_mac": cost.fj_per_mac,
        "digital_int8_ratio": int8_ratio(cost),
        **aware,
    }


def int8_ratio(cost: StepCost) -> float | None:
    """Digital INT8 over the step; None where nothing is on the array, since then nothing is exchanged."""
    return cost.ratio("int8") if cost.macs_on_array else None

"""Energy of trainings that are kept: what their results say, else counted from their configs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from imctrain.cost.energy import COMPONENTS
from imctrain.cost.references import ARITHMETICS
from imctrain.cost.step import design_of
from imctrain.errors import UserError
from imctrain.experiment.costing import training_of
from imctrain.experiment.from_config import build_hardware, calibration_of
from imctrain.experiment.own_sources import sources_of
from imctrain.experiment.result_cost import int8_ratio
from imctrain.experiment.technology_copy import with_own_files
from imctrain.records.energy import SILICON_LSB, TrainingEnergy, stored_energy
from imctrain.records.layout import sweep_of
from imctrain.records.runs import RunRecord
from imctrain.settings import Config, config_hash, load_kept_config
from imctrain.settings.experiment import CheckpointConfig
from imctrain.technology import Technology, load_technology
from imctrain.technology.design import Design
from imctrain.technology.files import find_technology
from imctrain.technology.rates import rates

QUIET_LSB = 0.05
"""Noise of a converter, LSB: where its price differs from that at `SILICON_LSB`, the technology prices noise."""


@dataclass(frozen=True)
class Counted:
    """What a config says of its training: energies of a step, and noise. `steps` and time are of the whole config.

    Attributes:
        noise_lsb: total noise before rounding, LSB at R = 1; None for what is not on the array.
        prices_noise: whether a converter with less noise costs more in the technology.
    """

    energy: TrainingEnergy
    references_j: Mapping[str, float]
    noise_lsb: float | None
    prices_noise: bool


_COUNTED: dict[str, Counted] = {}
"""By what decides the energy: seeds of a config are counted once in a process."""


@dataclass
class KeptEnergy:
    """`records.energy.Pricing` from results, and from configs where results say nothing.

    Attributes:
        technology: count everything on this one (shipped name or file), whatever results say; None for their own.
        problems: why a run could not be counted, by its folder.
    """

    technology: str | None = None
    problems: dict[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.technology is not None:
            load_technology(self.technology)

    def __call__(self, record: RunRecord) -> TrainingEnergy | None:
        """None where neither the result nor the config tells; then `problems` says why."""
        if record.result is None:
            return None
        stored = stored_energy(record.result)
        if self.technology is None and stored is not None:
            return stored
        found = self._counted(record)
        if found is None:
            return None
        steps = record.result.steps
        if steps is None or steps == found.energy.steps:
            return found.energy
        second = found.energy.seconds_training_chip / found.energy.steps
        return replace(found.energy, steps=steps, seconds_training_chip=steps * second)

    def references(self, record: RunRecord) -> Mapping[str, float]:
        """J a step in every digital arithmetic of `cost.references`."""
        found = self._counted(record)
        return {} if found is None else found.references_j

    def noise_lsb(self, record: RunRecord) -> float | None:
        """Of its result, else of its config."""
        if record.result is not None and record.result.sigma_lsb is not None:
            return record.result.sigma_lsb
        found = self._counted(record)
        return None if found is None else found.noise_lsb

    def prices_noise(self, record: RunRecord) -> bool | None:
        """Whether a converter with less noise costs more in the technology."""
        found = self._counted(record)
        return None if found is None else found.prices_noise

    def noise_price(self, record: RunRecord) -> float:
        """1 where it is not known: nothing is priced."""
        config, config_dir = kept_config(record, self.technology)
        if config.imc.path == "float":
            return 1.0
        technology = load_technology(config.cost.technology, config_dir)
        hardware = build_hardware(config.imc, calibration_of(config, config_dir))
        own, loud = _converters(design_of(hardware, technology, config.cost.supply_v), technology, None, SILICON_LSB)
        return own / loud if loud else 1.0

    def _counted(self, record: RunRecord) -> Counted | None:
        try:
            return count_record(record, self.technology)
        except UserError as error:
            self.problems[record.folder] = str(error)
            return None


def count_record(record: RunRecord, technology: str | None = None) -> Counted:
    """Energy of a kept run from its config, calibration and technology alone; nothing is trained, no data are read
    where their shape is known.

    Args:
        technology: shipped name or file, in place of the config's.

    Raises UserError for a config, calibration or technology that cannot be read, and for data that are neither known
    nor prepared.
    """
    return count(*kept_config(record, technology))


def kept_config(record: RunRecord, technology: str | None = None) -> tuple[Config, Path]:
    """The config that a run is counted by, and the folder that its files are named from. As for `count_record`."""
    sweep = sweep_of(record.folder)
    config = with_own_files(load_kept_config(record.files.config), record.files)
    if technology is not None:
        # A supply voltage belongs to the technology that it was chosen for.
        config = config.replace(cost=config.cost.replace(technology=technology, supply_v=None))
    return config, record.folder if sweep is None else sweep.folder


def count(config: Config, config_dir: Path | None = None) -> Counted:
    """Energy of a config's training; once for configs that differ in nothing that it depends on. Raises UserError."""
    key = _key(config, config_dir)
    if key not in _COUNTED:
        _COUNTED[key] = _count(config, config_dir)
    return _COUNTED[key]


def _key(config: Config, config_dir: Path | None) -> str:
    """Hash of what the energy depends on, with the content of the files that are named."""
    same = {"name": "run", "seed": 0, "baseline": False, "tensorboard": False, "checkpoint": CheckpointConfig()}
    files = [find_technology(config.cost.technology, config_dir).read_bytes()]
    files += [source.sha256.encode() for source in sources_of(config, config_dir).values()]
    if config.imc.path != "float":
        files.append(calibration_of(config, config_dir).model_dump_json().encode())
    return ":".join([config_hash(config.replace(**same)), *(hashlib.sha256(found).hexdigest() for found in files)])


def _count(config: Config, config_dir: Path | None) -> Counted:
    training = training_of(config, config_dir)
    cost = training.cost()
    whole = cost.energy.total
    energy = TrainingEnergy(
        technology=cost.technology,
        provenance=whole.provenance,
        steps=training.steps,
        energy_step_j=whole.value,
        energy_step_band_j=(whole.low, whole.high),
        components_j={name: getattr(cost.energy, name).value for name in COMPONENTS},
        seconds_training_chip=training.steps * cost.seconds_step,
        fj_per_mac=cost.fj_per_mac,
        digital_int8_ratio=int8_ratio(cost),
    )
    noise = None
    if cost.macs_on_array:
        noise = build_hardware(config.imc, calibration_of(config, config_dir)).total_lsb
    prices = training.prices
    design = design_of(training.step.hardware, prices.technology, prices.supply_v)
    quiet, loud = _converters(design, prices.technology, QUIET_LSB, SILICON_LSB)
    return Counted(energy, {name: cost.reference(name).value for name in ARITHMETICS}, noise, quiet > loud)


def _converters(design: Design, technology: Technology, *sigmas: float | None) -> list[float]:
    """J a conversion at each noise of the converter, LSB; None for the design's own."""
    designs = (design if sigma is None else replace(design, sigma_adc_lsb=sigma) for sigma in sigmas)
    return [rates(technology, each).converter.value for each in designs]

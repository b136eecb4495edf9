"""Energy and chip time of a kept training: what its result says, or what is counted again from its config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from imctrain.records.result import Result
from imctrain.records.runs import RunRecord

SILICON_LSB = 1.0
"""The noise that stands for silicon, LSB at R = 1 (calibration/README.md): what a price of noise counts from."""


@dataclass(frozen=True)
class TrainingEnergy:
    """What a training took, counted on a technology.

    Attributes:
        technology: its name. provenance: of the weakest figure in the sum; "" where a result does not say.
        steps: of the training.
        energy_step_j, energy_step_band_j: of a step, J; lowest and highest with the ranges of the technology's figures.
        components_j: of a step, J: adc, array, dac, digital, write, move.
        seconds_training_chip: of all steps, s. fj_per_mac: fJ a multiply-accumulate of a step.
        digital_int8_ratio: energy of the same step in INT8 over that of this one; None without anything on the array.
    """

    technology: str
    provenance: str
    steps: int
    energy_step_j: float
    energy_step_band_j: tuple[float, float]
    components_j: Mapping[str, float]
    seconds_training_chip: float
    fj_per_mac: float
    digital_int8_ratio: float | None

    @property
    def energy_training_j(self) -> float:
        """Of all steps, J."""
        return self.steps * self.energy_step_j

    def sensed_step_j(self, noise_price: float = 1.0) -> float:
        """Of what less noise makes dearer in a step, J: converters, and the cells that share charge.

        Args:
            noise_price: what the technology has multiplied the converters by already for their noise; it is taken off.
        """
        return self.components_j.get("adc", 0.0) / noise_price + self.components_j.get("array", 0.0)


class Pricing(Protocol):
    """How a report learns what trainings took."""

    def __call__(self, record: RunRecord) -> TrainingEnergy | None:
        """Of a run; None where it is not known."""

    def references(self, record: RunRecord) -> Mapping[str, float]:
        """J a step of a run with its MVMs in digital arithmetic: formats, int8, bf16, fp32; empty where not known."""

    def noise_lsb(self, record: RunRecord) -> float | None:
        """Total noise before rounding, LSB at R = 1; None for what is not on the array, or where it is not known."""

    def prices_noise(self, record: RunRecord) -> bool | None:
        """Whether the technology prices a converter's noise; None where it is not known."""

    def noise_price(self, record: RunRecord) -> float:
        """Energy that the technology gives a converter with a run's noise, over that of one with `SILICON_LSB`."""


class StoredEnergy:
    """What results say, and nothing more."""

    def __call__(self, record: RunRecord) -> TrainingEnergy | None:
        return None if record.result is None else stored_energy(record.result)

    def references(self, record: RunRecord) -> Mapping[str, float]:
        del record
        return {}

    def noise_lsb(self, record: RunRecord) -> float | None:
        return None if record.result is None else record.result.sigma_lsb

    def prices_noise(self, record: RunRecord) -> bool | None:
        del record
        return None

    def noise_price(self, record: RunRecord) -> float:
        del record
        return 1.0


def stored_energy(result: Result) -> TrainingEnergy | None:
    """Of a result; None where a version did not count it."""
    known = (result.cost_technology, result.steps, result.energy_step_j, result.seconds_training_chip)
    technology, steps, energy, seconds = known
    if technology is None or steps is None or energy is None or seconds is None:
        return None
    return TrainingEnergy(
        technology,
        result.cost_provenance or "",
        steps,
        energy,
        result.energy_step_band_j or (energy, energy),
        result.energy_components_j or {},
        seconds,
        result.fj_per_mac or 0.0,
        result.digital_int8_ratio,
    )


STORED_ENERGY = StoredEnergy()

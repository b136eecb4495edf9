"""[imc.conditions]: temperature and supply that the chip works at, for all of a training or from epoch to epoch."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator

from imctrain import limits
from imctrain.settings.base import NotPossible, Section, within

Epoch = Annotated[int, within(limits.EPOCH)]
Temperature = Annotated[float, within(limits.TEMPERATURE_C)]
Supply = Annotated[float, within(limits.SUPPLY_V)]
QUANTITIES = {"temperature_c": limits.TEMPERATURE_C, "supply_v": limits.SUPPLY_V}


class ConditionsConfig(Section):
    """[imc.conditions]"""

    PREFIX: ClassVar[str] = "conditions."

    temperature_c: Temperature | tuple[tuple[Epoch, Temperature], ...] | None = None
    """Degrees Celsius. A list of [epoch, value] changes it over a training: a value holds from the beginning of its
    epoch until the next one's, evaluations included; epochs count from 0, and the first entry is that of epoch 0. The
    calibration's reference by default."""
    supply_v: Supply | tuple[tuple[Epoch, Supply], ...] | None = None
    """Volts, or a list as for temperature_c. The calibration's reference by default."""
    extrapolate: bool = False
    """Allow conditions outside what was measured."""
    offset_readings: Literal["once", "at every change"] = "once"
    """When conditions change over a training: whether offsets and gains that are read (`adc.offset_conversions`,
    `adc.gain_conversions`) keep the values of the first condition, or are read again at every change."""

    @model_validator(mode="before")
    @classmethod
    def _numbers_or_schedules(cls, data: Any) -> Any:
        # Before pydantic tries both kinds, so that what is wrong is told once.
        if isinstance(data, dict):
            for key, bounds in QUANTITIES.items():
                if data.get(key) is not None:
                    _check(key, data[key], bounds)
        return data

    @property
    def epochs(self) -> tuple[int, ...]:
        """Epochs at which a condition is set, in rising order; (0,) without a schedule."""
        lists = [value for key in QUANTITIES if isinstance(value := getattr(self, key), tuple)]
        return tuple(sorted({0, *(epoch for value in lists for epoch, _ in value)}))

    def at(self, epoch: int) -> ConditionsConfig:
        """Those of one epoch, without a schedule."""
        return self.replace(**{key: _value(getattr(self, key), epoch) for key in QUANTITIES})


def _value(given: float | tuple[tuple[int, float], ...] | None, epoch: int) -> float | None:
    if not isinstance(given, tuple):
        return given
    return next(value for start, value in reversed(given) if start <= epoch)


def _check(key: str, given: object, bounds: limits.Bounds) -> None:
    allowed = f"{bounds}, or a list of [epoch, value]"
    if not isinstance(given, list | tuple):
        if not _holds(given, bounds):
            raise NotPossible(key, given, allowed)
        return
    for entry in given:
        pair = isinstance(entry, list | tuple) and len(entry) == 2
        if not pair or not isinstance(entry[0], int) or not _holds(entry[0], limits.EPOCH):
            raise NotPossible(key, entry, f"[epoch, value], epoch whole and {limits.EPOCH}")
        if not _holds(entry[1], bounds):
            raise NotPossible(key, entry, f"[epoch, value], value {bounds}")
    epochs = [entry[0] for entry in given]
    if not epochs or epochs[0] != 0 or not all(a < b for a, b in pairwise(epochs)):
        raise NotPossible(key, given, "a list of [epoch, value] whose epochs rise from 0")


def _holds(value: object, bounds: limits.Bounds) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bounds.hold(value)

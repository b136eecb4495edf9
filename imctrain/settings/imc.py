"""[imc]: the simulated array of an experiment, and its rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from imctrain.settings.base import Section
from imctrain.settings.conditions import ConditionsConfig
from imctrain.settings.die import DieConfig
from imctrain.settings.hardware import Path
from imctrain.settings.presets import PRESETS, Preset, with_preset
from imctrain.settings.site import SiteSettings

ImcPath = Literal["float", Path]


class RuleConfig(Section):
    """[[imc.rules]]: what is different at the sites whose names match."""

    match: Annotated[str, Field(min_length=1)]
    """Shell pattern for site names, such as 'stem' or 'stage1/*'."""
    path: ImcPath | None = None
    """float leaves the sites digital, outside the simulation; any other path moves them there."""
    overrides: dict[str, Any] = Field(default={})
    """Keys of [imc] with other values, such as adc.bits = 10."""

    @field_validator("overrides")
    @classmethod
    def _dotted(cls, value: dict[str, Any]) -> dict[str, Any]:
        # TOML reads `overrides.adc.bits = 10` as nested tables; keys are dotted.
        return dict(_leaves(value))

    def __hash__(self) -> int:
        # A table has no hash of its own.
        return hash(self.model_dump_json())


class ImcConfig(SiteSettings):
    """[imc]"""

    preset: Preset | None = None
    """A whole pipeline under one name, plain or robust; keys beside it override it."""
    path: ImcPath = "exact"
    """float: standard training; digital: 4-bit formats, no array; exact: every conversion simulated; statistical:
    outputs drawn from the distribution of their conversions; auto: statistical where it is valid."""
    calibration: str = "feasible-assumed"
    """A shipped calibration's name, or a JSON file."""
    chip: DieConfig = DieConfig()
    """Which die of the calibration."""
    conditions: ConditionsConfig = ConditionsConfig()
    """Temperature and supply."""
    rules: tuple[RuleConfig, ...] = ()
    """What is different at some sites."""

    @model_validator(mode="before")
    @classmethod
    def _under_the_keys(cls, data: Any) -> Any:
        """What a preset stands for, under the keys beside it."""
        known = isinstance(data, dict) and isinstance(data.get("preset"), str) and data["preset"] in PRESETS
        return with_preset(data["preset"], data) if known else data


def _leaves(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of nested tables."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value

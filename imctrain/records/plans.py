"""plan/KEY.json: what a sweep wants trained and what it calls it; and a sweep's folder as whoever reads it sees it.

A plan holds what the trial's config sets apart from the frozen defaults, which table of those it was, and the trial's
label under each sweep of the folder. A plan without the number of a table is relative to the first one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic import JsonValue as Json

from imctrain.errors import UserError
from imctrain.files import JsonValue, write_json
from imctrain.frozen_defaults import VERSION
from imctrain.reading import read_json
from imctrain.records.layout import RunFiles, SweepFiles
from imctrain.records.packed import contents

MARKS = ("place", "base", "curve")
"""Of a label: what does not tell which trial it is."""


class Marks(TypedDict):
    """What a trial of a sweep stands on."""

    base: str
    """Hash of what all trials of the sweep start from."""
    curve: str
    """Hash of what its variant changes."""


class Label(TypedDict):
    """What a sweep calls a trial."""

    reference: str | None
    """"float" or "digital" for a run that others are compared with, else null."""
    variant: str
    axes: dict[str, JsonValue]
    """By dotted key."""
    seed: int
    place: NotRequired[int]
    """In the sweep's order; this key and the next two came later."""
    base: NotRequired[str]
    """This and the next one: its `Marks`."""
    curve: NotRequired[str]
    chips: NotRequired[str]
    """"each seed": each seed has a chip of its own; absent where all have one."""


class Plan(TypedDict):
    """What is trained, and why."""

    frozen_defaults: NotRequired[int]
    config: dict[str, JsonValue]
    labels: dict[str, Label]
    """By name of sweep."""


class _Checked(BaseModel):
    """What readers take for granted of a `Label`."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    reference: Literal["float", "digital"] | None
    variant: str
    axes: dict[str, Json]
    seed: int
    place: int = 0
    base: str = ""
    curve: str = ""
    chips: str = ""


_LABELS: TypeAdapter[dict[str, _Checked]] = TypeAdapter(dict[str, _Checked])


def same_trial(label: Label, other: Label) -> bool:
    """Whether two labels of one sweep tell the same trial."""
    return _identity(label) == _identity(other)


def _identity(label: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in label.items() if key not in MARKS}


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan, whole or not at all."""
    write_json(path, plan)


def read_plan(path: Path) -> Plan:
    """A plan as it is: only its labels are there for sure. Raises UserError for a file that is none."""
    plan = read_json(path)
    try:
        _LABELS.validate_python(plan["labels"])
    except (ValidationError, KeyError, TypeError):
        raise UserError(f"{path} is no plan of a trial: give the sweep's command again") from None
    found: Plan = plan
    return found


@dataclass(frozen=True)
class SweepView:
    """A sweep's folder for reading: what lies there, and what was packed away as if it lay there."""

    files: SweepFiles

    def trial(self, key: str) -> RunFiles:
        """The run folder of a trial: in the sweep's folder, or where a packed one can be read."""
        own = self.files.trial(key)
        packed = None if own.folder.is_dir() else contents(self.files.folder)
        return packed.trial(key) if packed is not None and packed.trial(key).folder.exists() else own

    def plan(self, key: str) -> Path:
        """The file of a plan: a packed trial keeps its plan with it."""
        own = self.files.plan(key)
        packed = None if own.is_file() else contents(self.files.folder)
        return packed.plan(key) if packed is not None and packed.plan(key).exists() else own

    def keys(self) -> list[str]:
        """Every planned trial."""
        packed = contents(self.files.folder)
        places = [self.files.plans] if packed is None else [self.files.plans, packed.plans]
        return sorted({path.stem for place in places for path in place.glob("*.json")})

    def labels(self, key: str) -> dict[str, Label]:
        """What each sweep calls a planned trial."""
        return read_plan(self.plan(key))["labels"]

    def config(self, key: str) -> dict[str, JsonValue]:
        """What a planned trial's config sets apart from the frozen table. Raises UserError for a plan that is none."""
        path = self.plan(key)
        try:
            plan = read_plan(path)
            content, version = plan["config"], plan.get("frozen_defaults", VERSION)
        except KeyError:
            raise UserError(f"{path} is no plan of a trial: give the sweep's command again") from None
        if not isinstance(content, dict):
            raise UserError(f"{path} is no plan of a trial: give the sweep's command again")
        if version != VERSION:
            raise UserError(
                f"{path} was planned against table {version!r} of defaults and this version of imctrain knows "
                f"{VERSION}: use the version that planned it, or give the sweep's command with another --out"
            )
        return content

"""What an evaluation changes of a config: for all of it, and from one chip to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imctrain.calibration import Calibration
from imctrain.calibration.schema.die_spread import LEVELS, spread_bounds_unknown
from imctrain.errors import UserError
from imctrain.files import JsonValue
from imctrain.settings import Config
from imctrain.settings.loading import assign, parse_override, validate_config

AS_DATA = ("imc.chip_seed", "imc.calibration", "imc.noise", "imc.chip", "imc.conditions")
"""Keys, or tables of them, that make another chip of the same structure: data of a compiled evaluation."""
DIE, SPREAD, CONDITIONS = "imc.chip.die", "imc.chip.die_spread", "imc.conditions."
CHANGEABLE = ("imc", "data.data_dir", "data.eval_batch_size")
"""Keys that mean something once training is over."""

Overrides = Mapping[str, JsonValue]


@dataclass(frozen=True)
class Point:
    """One chip of an evaluation: its name, and the keys of the config that make it.

    The chips of an evaluation are equal in structure, so that all of them run in one compiled step.
    """

    name: str
    overrides: Overrides = field(default_factory=dict)

    def __post_init__(self) -> None:
        other = next((key for key in self.overrides if not _within(key, AS_DATA)), None)
        if other is not None:
            raise UserError(
                f"{other} is no figure of a chip and cannot differ from die to die: evaluate it by itself with --set "
                f"(chips differ in {', '.join(AS_DATA)})"
            )


def dies(config: Config, count: int, calibration: Calibration | None = None) -> list[Point]:
    """`count` dies that the network was not trained on: the first numbers from 1 on, its own left out.

    Dies are drawn from the calibration's spread of dies; without one, they are other draws of columns alone.
    """
    drawn = calibration is not None and calibration.die_spread is not None
    key, own = (DIE, config.imc.chip.die) if drawn else ("imc.chip_seed", config.imc.chip_seed)
    numbers = [number for number in range(1, count + 2) if number != own][:count]
    return [Point(f"die {number}", {key: number}) for number in numbers]


def asked_dies(config: Config, asked: str, calibration: Calibration | None) -> list[Point]:
    """Of `--dies`: so many that the network was not trained on (`dies`), or measured ones by name, with commas.

    Raises UserError for a name that the calibration does not have.
    """
    if asked.strip().isdigit():
        return dies(config, int(asked), calibration)
    known = [die.die for die in (calibration.dies if calibration is not None else None) or ()]
    names = [name.strip() for name in asked.split(",")]
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        there = f"the calibration's dies are {', '.join(known)}" if known else "the calibration has no dies by name"
        raise UserError(f"--dies {asked}: {unknown!r} is neither a number of dies nor the name of one: {there}")
    return [Point(f"die {name}", {DIE: name}) for name in dict.fromkeys(names) if name != config.imc.chip.die]


def conditions(temperatures: Sequence[float], supplies: Sequence[float]) -> list[Point]:
    """Every temperature at every supply; those of the config where one of them is not given."""
    return [
        Point(_at(temperature, supply), _condition(temperature, supply))
        for supply in supplies or (None,)
        for temperature in temperatures or (None,)
        if temperature is not None or supply is not None
    ]


def at_spread(config: Config, others: Sequence[Point], calibration: Calibration) -> list[Point]:
    """Dies by number, drawn with the low and with the high of what is known of the spread of dies.

    Empty where the calibration does not tell them (`schema.die_spread.spread_bounds_unknown`), and where the config
    has chosen one of them.
    """
    drawn = [point for point in others if isinstance(point.overrides.get(DIE), int)]
    chosen = config.imc.chip.die_spread != "value"
    if not drawn or chosen or spread_bounds_unknown(calibration) is not None:
        return []
    return [
        Point(f"{point.name}, {level} spread", {**point.overrides, SPREAD: level})
        for level in LEVELS
        if level != "value"
        for point in drawn
    ]


def spread_of(overrides: Overrides) -> str | None:
    """ "low" or "high", where a chip is drawn with it."""
    level = overrides.get(SPREAD)
    return level if isinstance(level, str) else None


def at_condition(point: Point, condition: Point) -> Point:
    """A chip of an evaluation at a condition."""
    name = f"{point.name}, {condition.name}" if point.name else condition.name
    return Point(name, {**point.overrides, **condition.overrides})


def condition_of(overrides: Overrides) -> dict[str, float]:
    """temperature_c and supply_v among the keys that make a chip."""
    found = {key: value for key, value in overrides.items() if key.startswith(CONDITIONS)}
    return {key.removeprefix(CONDITIONS): value for key, value in found.items() if isinstance(value, int | float)}


def _condition(temperature: float | None, supply: float | None) -> dict[str, JsonValue]:
    given = {"temperature_c": temperature, "supply_v": supply}
    return {f"{CONDITIONS}{key}": value for key, value in given.items() if value is not None}


def _at(temperature: float | None, supply: float | None) -> str:
    parts = [] if temperature is None else [f"{temperature:g} C"]
    return ", ".join([*parts, *([] if supply is None else [f"{supply:g} V"])])


def parse_overrides(items: Sequence[str]) -> dict[str, JsonValue]:
    """`--set KEY=VALUE` texts by key, as `imctrain run` reads them. Raises UserError for a key that changes nothing."""
    found: dict[str, JsonValue] = {}
    for item in items:
        keys, value = parse_override(item)
        key = ".".join(keys)
        if not _within(key, CHANGEABLE):
            raise UserError(f"--set {item}: training is over, allowed are keys of {', '.join(CHANGEABLE)}")
        if key == "imc.preset":
            raise UserError(
                f"--set {item}: the keys that a preset stands for are all set in a config that was trained with: set "
                "those that are to differ"
            )
        found[key] = value
    return found


def overridden(config: Config, overrides: Overrides) -> Config:
    """A config with keys replaced, checked anew. Raises UserError naming the key."""
    if not overrides:
        return config
    data: dict[str, Any] = config.model_dump(mode="json")
    origin = {}
    for key, value in overrides.items():
        keys, item = tuple(key.split(".")), f"{key}={value}"
        assign(data, keys, value, item)
        origin[keys] = f"--set {item}"
    return validate_config(data, "the config of the training", origin)


def _within(key: str, tables: Sequence[str]) -> bool:
    return any(key == table or key.startswith(f"{table}.") for table in tables)

"""What a sweep is: the TOML of a sweep file, and the trials that it stands for."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imctrain.config import Config, ImcConfig, load_config, to_tuples
from imctrain.errors import UserError
from imctrain.frozen_defaults import filled_up
from imctrain.sweep.trial import Trial

SIGMA = "imc.noise.sigma_lsb"
Reference = Literal["float", "digital"]
SEED_LIMIT = 2**31
VARIANT = "variant"
"""What `exclude` and `when` call the name of a variant; no config key."""
SET = "set"
"""What an entry of `when` calls its overrides."""


class SweepSpec(BaseModel):
    """A sweep: every variant at every combination of the axes' values, with every seed; and references.

    In TOML:

        name = "noise"
        config = "cnn5.toml"                  # relative to the sweep file
        seeds = [0, 1, 2]
        references = ["float", "digital"]
        [set]                                 # for all trials
        "training.epochs" = 8
        [axes]
        "imc.noise.sigma_lsb" = [0.5, 1.0]
        [variants.plain]
        "imc.mapping.gradient" = "grouped"
        [variants.best]
        [[exclude]]                           # combinations that are not trained
        variant = "best"                      # a value or a list of them
        "imc.noise.sigma_lsb" = 0.5
        [[when]]                              # overrides for some combinations, over all others
        "imc.noise.sigma_lsb" = [1.0]
        set = { "imc.statistical.bias_limit" = 0.03 }
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="sweep", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the sweep's results")
    config: str = Field(description="experiment that the trials start from")
    seeds: tuple[Annotated[int, Field(ge=0, lt=SEED_LIMIT)], ...] = Field(default=(0,), min_length=1)
    references: tuple[Reference, ...] = Field(default=("float",), description="float, digital: trained for comparison")
    set: dict[str, Any] = Field(default={}, description="overrides for all trials, by dotted key")
    axes: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        default={}, description="values by dotted key; every combination is trained"
    )
    variants: dict[str, dict[str, Any]] = Field(default={}, description="overrides by dotted key, by name of variant")
    exclude: tuple[dict[str, Any], ...] = Field(
        default=(), description="combinations not trained: values by dotted key of an axis, or names of `variant`"
    )
    when: tuple[dict[str, Any], ...] = Field(
        default=(),
        description="overrides (`set`) for combinations given as in exclude; later ones win",
    )

    def leaves_out(self, variant: str, axes: Mapping[str, Any]) -> bool:
        """Whether a combination is excluded."""
        return any(_fits(item, variant, axes) for item in self.exclude)

    def overrides_of(self, variant: str, axes: Mapping[str, Any]) -> dict[str, Any]:
        """What `when` sets for a combination."""
        found: dict[str, Any] = {}
        for item in self.when:
            if _fits({key: values for key, values in item.items() if key != SET}, variant, axes):
                found |= item[SET]
        return found


def read_sweep(path: Path) -> SweepSpec:
    """A sweep file; its `config` becomes relative to the current folder. Raises UserError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UserError(f"sweep {path}: cannot be read ({reason}): give a sweep's TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"sweep {path}: not valid TOML: {error}") from None
    return make_spec({"name": path.stem} | data, f"sweep {path}", path.parent)


def make_spec(data: Mapping[str, Any], where: str, base: Path | None = None) -> SweepSpec:
    """Validate. Raises UserError in one line."""
    try:
        spec = SweepSpec.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(SweepSpec.model_fields)
            raise UserError(f"{where}: {key} is no known key; allowed: {known}") from None
        message = "is missing" if first["type"] == "missing" else f"= {first['input']!r}: {first['msg']}"
        raise UserError(f"{where}: {key} {message}") from None
    for key, items in (("exclude", spec.exclude), ("when", [_place_of(item, where) for item in spec.when])):
        _check_places(spec, key, items, where)
    return spec if base is None else spec.model_copy(update={"config": str(base / spec.config)})


def _fits(item: Mapping[str, Any], variant: str, axes: Mapping[str, Any]) -> bool:
    place = {VARIANT: variant, **axes}
    return all(place[key] in _listed(values) for key, values in item.items())


def _place_of(item: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The combinations that an entry of `when` is for."""
    if not isinstance(item.get(SET), Mapping) or not item[SET]:
        raise UserError(f'{where}: an entry of when needs set = {{ "dotted.key" = value }}')
    return {key: values for key, values in item.items() if key != SET}


def _check_places(spec: SweepSpec, name: str, items: Sequence[Mapping[str, Any]], where: str) -> None:
    """Every entry names combinations that there are: a misspelt one would train for hours what nobody wanted."""
    known = {VARIANT: tuple(spec.variants), **spec.axes}
    for item in items:
        if not item:
            raise UserError(f"{where}: an entry of {name} is empty: give a variant, or a value of an axis")
        for key, values in item.items():
            if key not in known:
                raise UserError(f"{where}: {name}.{key} is no axis of this sweep; allowed: {', '.join(known)}")
            for value in _listed(values):
                if value not in known[key]:
                    raise UserError(
                        f"{where}: {name}.{key} = {value!r}: there is no such value; allowed: "
                        f"{', '.join(map(str, known[key])) or 'none'}"
                    )


def _listed(values: Any) -> Sequence[Any]:
    return values if isinstance(values, list | tuple) else (values,)


def expand(spec: SweepSpec) -> list[Trial]:
    """The trials of a sweep, references first, level by level so that a sweep cut short shows whole curves.

    Raises UserError for a config that is not possible, naming the axis or variant.
    """
    path = Path(spec.config)
    trials: dict[str, Trial] = {}
    for trial in _trials(spec, path):
        trials.setdefault(trial.key, trial)
    return list(trials.values())


def _trials(spec: SweepSpec, path: Path) -> Iterator[Trial]:
    for seed in spec.seeds:
        for reference in spec.references:
            yield _reference(spec, path, reference, seed)
    variants = spec.variants or {"": {}}
    for seed in spec.seeds:
        for values in itertools.product(*spec.axes.values()):
            axes = dict(zip(spec.axes, values, strict=True))
            for variant, overrides in variants.items():
                if spec.leaves_out(variant, axes):
                    continue
                changes = overrides | axes | spec.overrides_of(variant, axes)
                yield Trial(_config(spec, path, seed, changes), None, variant, axes)


def _config(spec: SweepSpec, path: Path, seed: int, changes: Mapping[str, Any]) -> Config:
    items = [f"{key}={toml_literal(value)}" for key, value in {**spec.set, **changes, "seed": seed}.items()]
    config = load_config(path, items)
    # A baseline is a trial of its own, shared by all others.
    return config.model_copy(update={"baseline": False, "name": spec.name})


def _reference(spec: SweepSpec, path: Path, reference: Reference, seed: int) -> Trial:
    """Standard training knows nothing of the array: it is one trial whatever the array is."""
    config = _config(spec, path, seed, {})
    # What the array is means nothing to a reference: frozen, so that it stays the same trial.
    imc = ImcConfig.model_validate(to_tuples(filled_up({})["imc"]))
    if reference == "float":
        imc = imc.model_copy(update={"path": "float"})
    else:
        own = {"formats": config.imc.formats, "rules": config.imc.rules}
        imc = imc.model_copy(update={"path": "digital", "calibration": "ideal", **own})
    return Trial(config.model_copy(update={"imc": imc}), reference)


def toml_literal(value: Any) -> str:
    """A value as inline TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml_literal(str(k))} = {toml_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(toml_literal, value)) + "]"
    return repr(value)


def parse_axis(item: str) -> tuple[str, tuple[Any, ...]]:
    """`KEY=V1,V2` of the command line: TOML values, bare words as strings."""
    key, equals, text = item.partition("=")
    key, text = key.strip(), text.strip()
    if not equals or not key or not text:
        raise UserError(f"--axis {item}: give KEY=VALUE,VALUE, such as imc.adc.bits=6,8,10")
    try:
        values = tomllib.loads(f"values = [{text}]")["values"]
    except tomllib.TOMLDecodeError:
        values = [_value(part.strip()) for part in text.split(",")]
    if len(set(map(repr, values))) < len(values):
        raise UserError(f"--axis {item}: a value is there twice")
    return key, tuple(values)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text

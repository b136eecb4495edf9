"""What a sweep is: the TOML of a sweep file, and the trials that it stands for."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from imctrain.calibration import load_calibration
from imctrain.errors import UserError, quoted
from imctrain.reading import Unreadable, parse_toml, read_toml
from imctrain.records.result import OFF_THE_ARRAY
from imctrain.settings import Config, frozen_imc, load_config
from imctrain.sweep.trial import Trial

SIGMA = "imc.noise.sigma_lsb"
Reference = Literal["float", "digital"]
Chips = Literal["one", "each seed"]
SEED_LIMIT = 2**31
DIE, COLUMNS = "imc.chip.die", "imc.chip_seed"
CHIP_KEYS = (DIE, COLUMNS)
"""What chooses a chip of a calibration."""
VARIANT = "variant"
"""What `exclude` and `when` call the name of a variant; no config key."""
SET = "set"
"""What an entry of `when` changes; no config key either."""


MOST_LETTERS = 120
"""Of a name: names of files hold it, and more."""


class SweepSpec(BaseModel):
    """A sweep: every variant at every combination of the axes' values, with every seed; and references.

    In TOML:

        name = "noise"
        config = "cnn5.toml"                  # relative to the sweep file
        seeds = [0, 1, 2]
        references = ["float", "digital"]
        chips = "each seed"                   # a chip of its own for every seed
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
        [[when]]                              # for some combinations alone; of several that match, later ones win
        "imc.noise.sigma_lsb" = [0.5, 1.0]
        set = { "imc.statistical.bias_limit" = 0.03 }
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        default="sweep",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=MOST_LETTERS,
        description="names the sweep's results",
    )
    config: str = Field(description="experiment that the trials start from")
    seeds: tuple[Annotated[int, Field(ge=0, lt=SEED_LIMIT)], ...] = Field(default=(0,), min_length=1)
    references: tuple[Reference, ...] = Field(default=("float",), description="float, digital: trained for comparison")
    chips: Chips = Field(
        default="one",
        description="one: all seeds are trained on the config's chip. each seed: each is trained on a chip of its own, "
        "die seed + 1 where the calibration has a spread of dies (imc.chip.die), else columns drawn by the seed "
        "(imc.chip_seed)",
    )
    set: dict[str, JsonValue] = Field(default={}, description="overrides for all trials, by dotted key")
    axes: dict[str, Annotated[tuple[JsonValue, ...], Field(min_length=1)]] = Field(
        default={}, description="values by dotted key; every combination is trained"
    )
    variants: dict[str, dict[str, JsonValue]] = Field(
        default={}, description="overrides by dotted key, by name of variant"
    )
    exclude: tuple[dict[str, JsonValue], ...] = Field(
        default=(), description="combinations not trained: values by dotted key of an axis, or names of `variant`"
    )
    when: tuple[dict[str, JsonValue], ...] = Field(
        default=(), description="`set`: overrides by dotted key, for the combinations that the other keys name"
    )

    @property
    def own_chips(self) -> bool:
        """Whether each seed has a chip of its own."""
        return self.chips == "each seed"

    def with_set(self, changes: Mapping[str, JsonValue], where: str) -> SweepSpec:
        """The sweep with other overrides for all trials; raises UserError for a key that is an axis or of a variant."""
        own = [*self.axes, *(key for variant in self.variants.values() for key in variant), "seed"]
        for key in changes:
            if key in own:
                raise UserError(f"{where} {key}: the sweep itself says what that is in each trial: change the file")
        return self.model_copy(update={"set": self.set | dict(changes)})

    def leaves_out(self, variant: str, axes: Mapping[str, JsonValue]) -> bool:
        """Whether a combination is excluded."""
        return any(_matches(item, variant, axes) for item in self.exclude)

    def changes(self, variant: str, axes: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """What the entries of `when` set at a combination."""
        changes: dict[str, JsonValue] = {}
        for item in self.when:
            if _matches(item, variant, axes):
                changes |= _table(item[SET])
        return changes

    def combinations(self) -> Iterator[tuple[str, dict[str, JsonValue]]]:
        """(variant, axes) of what is trained, level by level."""
        for values in itertools.product(*self.axes.values()):
            axes = dict(zip(self.axes, values, strict=True))
            for variant in self.variants or {"": {}}:
                if not self.leaves_out(variant, axes):
                    yield variant, axes


def _matches(item: Mapping[str, JsonValue], variant: str, axes: Mapping[str, JsonValue]) -> bool:
    place = {VARIANT: variant, **axes}
    return all(place[key] in _listed(values) for key, values in item.items() if key != SET)


def read_sweep(path: Path) -> SweepSpec:
    """A sweep file; its `config` becomes relative to the current folder. Raises UserError."""
    data = read_table(path)
    if "search" in data:
        raise UserError(f"sweep {path}: it has a table [search]: give it to `imctrain sweep search`")
    return make_spec({"name": path.stem} | data, f"sweep {path}", path.parent)


def read_table(path: Path) -> dict[str, Any]:
    """The content of a sweep's file. Raises UserError for a file that is no TOML."""
    try:
        return read_toml(path)
    except Unreadable as error:
        raise UserError(f"sweep {error}: give a sweep's TOML file") from None


def make_spec(data: Mapping[str, object], where: str, base: Path | None = None) -> SweepSpec:
    """Validate. Raises UserError in one line."""
    try:
        spec = SweepSpec.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(SweepSpec.model_fields)
            raise UserError(f"{where}: {key} is an unknown key; allowed: {known}") from None
        message = "is missing" if first["type"] == "missing" else f"= {quoted(first['input'])}: {first['msg']}"
        raise UserError(f"{where}: {key} {message}") from None
    _check_names(spec, where)
    _check_chips(spec, where)
    for item in spec.exclude:
        _check_named(spec, item, "exclude", where)
    for item in spec.when:
        _check_when(spec, item, where)
    return spec if base is None else spec.model_copy(update={"config": str(base / spec.config)})


def _check_names(spec: SweepSpec, where: str) -> None:
    """Names stand in tables and figures, which are made after all training is done."""
    for name in spec.variants:
        if not name.isprintable() or len(name) > MOST_LETTERS:
            raise UserError(
                f"{where}: variants.{quoted(name)}: a name is one line of at most {MOST_LETTERS} characters"
            )
    for key, values in spec.axes.items():
        for value in values:
            if isinstance(value, str) and (not value.isprintable() or len(value) > MOST_LETTERS):
                found = quoted(value)
                raise UserError(
                    f"{where}: axes.{key} = {found}: a value is one line of at most {MOST_LETTERS} characters"
                )


def _check_chips(spec: SweepSpec, where: str) -> None:
    """A chip is chosen once."""
    tables: list[Iterable[str]] = [spec.set, spec.axes, *spec.variants.values()]
    tables += [_table(item.get(SET)) for item in spec.when]
    chosen = [key for table in tables for key in table if key in CHIP_KEYS]
    if spec.own_chips and chosen:
        raise UserError(
            f"{where}: chips = {spec.chips!r} chooses a chip for every seed, and {chosen[0]} another one: leave one out"
        )


def _check_named(spec: SweepSpec, item: Mapping[str, JsonValue], table: str, where: str) -> None:
    """Every entry names combinations that there are: a misspelt one would train for hours what nobody wanted."""
    known = {VARIANT: tuple(spec.variants), **spec.axes}
    if not item:
        raise UserError(f"{where}: an entry of {table} is empty: give a variant, or a value of an axis")
    for key, values in item.items():
        if key not in known:
            raise UserError(f"{where}: {table}.{key} is no axis of this sweep; allowed: {', '.join(known)}")
        for value in _listed(values):
            if value not in known[key]:
                raise UserError(
                    f"{where}: {table}.{key} = {value!r}: there is no such value; allowed: "
                    f"{', '.join(map(str, known[key])) or 'none'}"
                )


def _check_when(spec: SweepSpec, item: Mapping[str, JsonValue], where: str) -> None:
    changes = item.get(SET)
    if not isinstance(changes, dict) or not changes:
        example = 'set = { "imc.adc.bits" = 6 }'
        raise UserError(f"{where}: when.set = {changes!r}: give what it changes, such as {example}")
    _check_named(spec, {key: values for key, values in item.items() if key != SET}, "when", where)
    for key in changes:
        if key in (*spec.axes, "seed"):
            raise UserError(
                f"{where}: when.set.{key}: it is an axis, by which the trial is named: give its values in axes or seeds"
            )
    if not any(_matches(item, variant, axes) for variant, axes in spec.combinations()):
        named = ", ".join(f"{key} = {values!r}" for key, values in item.items() if key != SET)
        raise UserError(f"{where}: when {named} matches no trial: exclude leaves all of them out")


def _listed(values: JsonValue) -> Sequence[JsonValue]:
    return values if isinstance(values, list) else (values,)


def _table(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


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
            yield reference_of(spec, path, reference, seed)
    for seed in spec.seeds:
        for variant, axes in spec.combinations():
            overrides = spec.variants.get(variant, {}) | axes | spec.changes(variant, axes)
            yield Trial(config_of(spec, path, seed, overrides), None, variant, axes, spec.own_chips)


def config_of(spec: SweepSpec, path: Path, seed: int, changes: Mapping[str, JsonValue]) -> Config:
    """The config of a trial: that of the file at `path`, with what the sweep and the trial change."""
    items = [f"{key}={toml_literal(value)}" for key, value in {**spec.set, **changes, "seed": seed}.items()]
    config = load_config(path, items)
    config = _with_chip_of_seed(config, path) if spec.own_chips else config
    # A baseline is a trial of its own, shared by all others.
    return config.model_copy(update={"baseline": False, "name": spec.name})


def _with_chip_of_seed(config: Config, path: Path) -> Config:
    """path: of the config, beside which calibrations are looked for."""
    if config.imc.path in OFF_THE_ARRAY:
        return config
    calibration = load_calibration(config.imc.calibration, path.parent)
    imc = config.imc
    if calibration.die_spread is not None:
        imc = imc.replace(chip=imc.chip.replace(die=config.seed + 1))
    else:
        imc = imc.replace(chip_seed=config.seed)
    return config.model_copy(update={"imc": imc})


def reference_of(spec: SweepSpec, path: Path, reference: Reference, seed: int) -> Trial:
    """Standard training knows nothing of the array: it is one trial whatever the array is."""
    config = config_of(spec, path, seed, {})
    if reference == "float":
        imc = frozen_imc(path="float")
    else:
        formats, rules = config.imc.formats, config.imc.rules
        imc = frozen_imc(path="digital", calibration="ideal").model_copy(update={"formats": formats, "rules": rules})
    return Trial(config.model_copy(update={"imc": imc}), reference)


def toml_literal(value: object) -> str:
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


def parse_axis(item: str) -> tuple[str, tuple[JsonValue, ...]]:
    """`KEY=V1,V2` of the command line: TOML values, bare words as strings."""
    key, equals, text = item.partition("=")
    key, text = key.strip(), text.strip()
    if not equals or not key or not text:
        raise UserError(f"--axis {item}: give KEY=VALUE,VALUE, such as imc.adc.bits=6,8,10")
    try:
        values = parse_toml(f"values = [{text}]", "--axis")["values"]
    except Unreadable:
        values = [_value(part.strip()) for part in text.split(",")]
    if len(set(map(repr, values))) < len(values):
        raise UserError(f"--axis {item}: a value is there twice")
    return key, tuple(values)


def _value(text: str) -> JsonValue:
    try:
        found: JsonValue = parse_toml(f"value = {text}", "--axis")["value"]
        return found
    except Unreadable:
        return text

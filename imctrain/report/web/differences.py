"""In which keys of their configs runs differ, and what they all have: a name for people, where a folder has a hash."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imctrain.files import JsonValue
from imctrain.records.kept_config import leaves
from imctrain.records.runs import RunRecord

NOT_SHOWN = ("name", "baseline", "tensorboard", "tracking", "checkpoint", "data.data_dir", "imc.memory_mib")
"""What a run is called and where it keeps what: no difference of the training."""
MOST_KEYS = 6
"""With more keys that differ, a run shows those alone in which it is not as most are."""
LONGEST = 40

Leaves = dict[str, JsonValue]


@dataclass(frozen=True)
class Difference:
    """A key in which a run differs from others. name: short. text: its value. sort: to sort by."""

    key: str
    name: str
    text: str
    sort: float | str


@dataclass(frozen=True)
class Differences:
    """What runs differ in.

    Attributes:
        names: {dotted key that differs: its short name}, in the order of the config.
        usual: what most runs have in those keys; empty where every run shows all of its own.
        alike: what all runs have, by dotted key, in words.
        by_run: of each run, by its folder.
    """

    names: Mapping[str, str]
    usual: Sequence[Difference]
    alike: Mapping[str, str]
    by_run: Mapping[Path, list[Difference]]


def differences_of(records: Sequence[RunRecord]) -> Differences:
    """Of runs with a config."""
    flat = {record.folder: _shown_leaves(record) for record in records if record.config}
    keys = list(dict.fromkeys(key for found in flat.values() for key in found))
    counts = {key: Counter(_same(found.get(key)) for found in flat.values()) for key in keys}
    differing = [key for key in keys if len(counts[key]) > 1]
    names = short_names(differing)
    usual = {key: counts[key].most_common(1)[0][0] for key in differing} if len(differing) > MOST_KEYS else {}
    by_run = {
        folder: [
            _difference(key, names[key], found.get(key))
            for key in differing
            if not usual or _same(found.get(key)) != usual[key]
        ]
        for folder, found in flat.items()
    }
    first = next(iter(flat.values()), {})
    alike = {key: value_text(first[key]) for key in keys if len(counts[key]) == 1 and first.get(key) is not None}
    most = [_difference(key, names[key], json.loads(value)) for key, value in usual.items()]
    return Differences(names, most, alike, by_run)


def _difference(key: str, name: str, value: JsonValue) -> Difference:
    return Difference(key, name, value_text(value), _sort(value))


def value_text(value: JsonValue) -> str:
    """A value of a config in a few letters."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = (
        f"{value:g}"
        if isinstance(value, float)
        else value
        if isinstance(value, str)
        else json.dumps(value, default=str)
    )
    if "/" in text and isinstance(value, str):
        text = Path(text).name or text
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}\u2026"


def _shown_leaves(record: RunRecord) -> Leaves:
    found = leaves(record.config)
    return {key: value for key, value in found.items() if not any(f"{key}.".startswith(f"{k}.") for k in NOT_SHOWN)}


def _same(value: JsonValue) -> str:
    """Equal for equal values: 1 and 1.0 are one."""
    plain = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return json.dumps(plain, sort_keys=True, default=str)


def _sort(value: JsonValue) -> float | str:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value_text(value)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key, or as many parts as tell it from the others."""
    found = {}
    for key in keys:
        parts = key.split(".")
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[-count:])
            if sum(other == name or other.endswith(f".{name}") for other in keys) == 1:
                break
        found[key] = name
    return found

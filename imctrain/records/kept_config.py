"""config.toml as a table, for readers that take any version's: keys they do not know stay, missing ones are filled.

Whoever trains reads it with `settings.load_kept_config`, which refuses what it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from imctrain.errors import UserError, shown
from imctrain.files import JsonValue
from imctrain.frozen_defaults import FROZEN, LISTS, SECTIONS, filled
from imctrain.reading import CONFIG_BYTES, parse_toml, read_text

Table = dict[str, JsonValue]
"""Nested tables; what TOML leaves out is None."""


def read_config(path: Path) -> Table:
    """Raises UserError without the file, and for one that is no config."""
    return config_table(read_text(path, CONFIG_BYTES), path)


def config_table(text: str, path: Path) -> Table:
    """The text of a config.toml. Raises UserError for a text that is none; `path` names it."""
    found = filled(parse_toml(text, str(path)))
    for key, kinds in _KINDS.items():
        value = setting(found, key)
        if not isinstance(value, kinds) or (isinstance(value, float) and not math.isfinite(value)):
            raise UserError(f"{path} is no config of a run ({key} = {shown(value)}): restore it")
    return found


def setting(config: Mapping[str, JsonValue], key: str) -> JsonValue:
    """The value of a dotted key; None where there is none."""
    value: JsonValue = dict(config)
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def leaves(table: Mapping[str, JsonValue], prefix: str = "") -> Table:
    """{dotted key: value} of nested tables."""
    found: Table = {}
    for key, value in table.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _kinds() -> dict[str, tuple[type, ...]]:
    """{dotted key: types that its value may have}: tables are tables, and the rest is of the default's type, which any
    version's are. What is None by default may be anything plain."""
    found: dict[str, tuple[type, ...]] = {}
    plain: tuple[type, ...] = (str, int, float, bool, list, type(None))
    for key in SECTIONS:
        found[key] = (list,) if key in LISTS else (dict,)
    for key, default in FROZEN.items():
        if any(key.startswith(f"{section}.") for section in LISTS):
            continue
        if isinstance(default, dict):
            found[key] = (dict,)
            continue
        number = isinstance(default, int | float) and not isinstance(default, bool)
        found[key] = (int, float, str, bool, type(None)) if number else (str,) if isinstance(default, str) else plain
    return found


_KINDS = _kinds()

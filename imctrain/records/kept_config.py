"""config.toml as a table, for readers that take any version's: keys they do not know stay, missing ones are filled.

Whoever trains reads it with `settings.load_kept_config`, which refuses what it does not know.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from imctrain.files import JsonValue
from imctrain.frozen_defaults import filled

Table = dict[str, JsonValue]
"""Nested tables; what TOML leaves out is None."""


def read_config(path: Path) -> Table:
    """Raises OSError without the file, ValueError for no TOML."""
    return filled(tomllib.loads(path.read_text(encoding="utf-8")))


def setting(config: Mapping[str, JsonValue], key: str) -> JsonValue:
    """The value of a dotted key; None where there is none."""
    value: JsonValue = dict(config)
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value

"""An experiment's TOML: read, overridden, validated in one line, hashed, written. Imports no jax."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from imctrain.errors import UserError
from imctrain.frozen_defaults import FROZEN, filled
from imctrain.reading import Unreadable, parse_toml, read_toml
from imctrain.settings.base import explain
from imctrain.settings.experiment import Config
from imctrain.settings.imc import ImcConfig

LATER = ("model.arguments",)
"""Keys that are no part of the hash where they say what was done before there was such a key."""


def config_hash(config: Config) -> str:
    """SHA-256 of the resolved config, in canonical JSON; keys of `LATER` only where they are set, trackers never."""
    content = config.model_dump(mode="json", exclude={"tracking"})
    for key in LATER:
        table, _, name = key.rpartition(".")
        if content[table][name] == FROZEN[key]:
            del content[table][name]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read, override and validate. Raises UserError naming the file, the key, what was found and what is allowed."""
    data = _read_toml(path)
    origin: dict[tuple[str, ...], str] = {}
    for item in overrides:
        keys, value = parse_override(item)
        assign(data, keys, value, item)
        origin[keys] = f"config {path} with --set {item}"
    return validate_config(data, f"config {path}", origin)


def load_kept_config(path: Path) -> Config:
    """The config.toml of a run's folder, whose missing keys mean what they meant when it was written.

    Raises UserError as `load_config` does.
    """
    return kept_config(_read_toml(path), f"config {path}")


def kept_config(data: dict[str, Any], where: str) -> Config:
    """Validate the content of a plan, a recording or a run's config.toml (see `frozen_defaults`)."""
    return validate_config(filled(data), where)


def frozen_imc(**changes: Any) -> ImcConfig:
    """[imc] as kept trials had it where they set nothing else, whatever this version's defaults are."""
    return kept_config({"imc": changes}, "frozen defaults").imc


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except Unreadable as error:
        raise UserError(f"config {error}: give an experiment's TOML file") from None


def validate_config(data: dict[str, Any], where: str, origin: dict[tuple[str, ...], str] | None = None) -> Config:
    """Validate the content of a config; `origin` says which keys came from --set."""
    try:
        return Config.model_validate(_tuples(data))
    except ValidationError as error:
        # A misspelt key is also missing under its right name: the misspelling is what to show.
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        keys = tuple(str(part) for part in first["loc"])
        overridden = ((known[: len(keys)], text) for known, text in (origin or {}).items())
        source = next((text for known, text in overridden if keys[: len(known)] == known), where)
        raise UserError(f"{source}: {explain(first, Config)}") from None


def known_keys() -> list[str]:
    """Every dotted key that a config may have."""
    return list(Config.dotted_keys())


def parse_override(item: str) -> tuple[tuple[str, ...], Any]:
    """`KEY=VALUE` of the command line: the parts of the key, and the value as TOML or a bare word. Raises UserError."""
    key, equals, text = item.partition("=")
    keys = tuple(key.strip().split("."))
    if not equals or not all(keys):
        raise UserError(f"--set {item}: give KEY=VALUE, such as training.epochs=5")
    try:
        value = parse_toml(f"value = {text.strip()}", f"--set {item}")["value"]
    except Unreadable:
        value = text.strip()  # a bare string: model.name=vit
    return keys, value


def assign(data: dict[str, Any], keys: tuple[str, ...], value: Any, item: str) -> None:
    """Put a value into nested tables, in place. item: what an error names.

    Raises UserError where a part is no table.
    """
    table: Any = data
    for depth, key in enumerate(keys[:-1]):
        if isinstance(table, list):
            table = table[_position(table, key, item)]
        else:
            table = table.setdefault(key, {})
        if not isinstance(table, dict | list):
            raise UserError(f"--set {item}: {'.'.join(keys[: depth + 1])} is no table")
    if isinstance(table, list):
        table[_position(table, keys[-1], item)] = value
    else:
        table[keys[-1]] = value


def _position(values: list[Any], key: str, item: str) -> int:
    if not key.isdigit() or int(key) >= len(values):
        raise UserError(f"--set {item}: {key!r} is no position in a list of {len(values)}: give 0 to {len(values) - 1}")
    return int(key)


def _tuples(value: Any) -> Any:
    """TOML arrays as tuples, as frozen models hold them."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def dump_toml(config: Config) -> str:
    """The resolved config as TOML (keys that are None are left out: absent means None)."""
    import tomli_w

    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))

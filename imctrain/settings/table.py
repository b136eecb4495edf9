"""The page of all keys of a config: `python -m imctrain.settings.table > docs/settings.md`.

Made from the settings' own declarations, so that no key has a second description.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from imctrain.settings.base import Section
from imctrain.settings.experiment import Config
from imctrain.settings.presets import PRESETS

HEAD = """# Settings

Every key of an experiment's TOML. In Python the sections of `[imc]` are classes of `imctrain.settings`, with the same
keys and defaults: `Hardware(adc=AdcSpec(bits=6))`. A rule, `--set` and a sweep take the same keys. This page is made
from the code: `python -m imctrain.settings.table > docs/settings.md`.
"""
PRESETS_HEAD = """
## Presets

`imc.preset = "plain"` or `"robust"` stands for these keys of `[imc]`. Keys beside it override it.

| key | plain | robust |
|---|---|---|
"""


def page() -> str:
    """The page, Markdown."""
    return HEAD + "".join(_tables(Config, "")) + PRESETS_HEAD + "".join(_presets())


def _tables(section: type[Section], prefix: str) -> Iterator[str]:
    """A heading and a table for a section, and for each below it."""
    schema = section.model_json_schema()
    inner = section.sections()
    own = [name for name in section.model_fields if name not in inner]
    about = " ".join((section.__doc__ or "").split()).removeprefix(f"[{prefix}]").removeprefix(f"[[{prefix}]]")
    about = about.lstrip(": ").removeprefix("An experiment.")
    title = f"`[{prefix}]`" if prefix else "The top level"
    if prefix.endswith("rules"):
        title = f"`[[{prefix}]]`"
    yield f"\n## {title}\n\n" + (f"{about[0].upper()}{about[1:]}\n\n" if about else "")
    if own:
        yield "| key | default | allowed | meaning |\n|---|---|---|---|\n"
    for name in own:
        field = section.model_fields[name]
        default = "required" if field.is_required() else _literal(field.default)
        cells = name, default, allowed(schema["properties"][name]), " ".join((field.description or "").split())
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
    for name, below in inner.items():
        yield from _tables(below, f"{prefix}.{name}" if prefix else name)


def allowed(schema: dict[str, Any]) -> str:
    """What a key takes, in words."""
    if "anyOf" in schema:
        return " or ".join(text for part in schema["anyOf"] if (text := allowed(part)))
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    kind = schema.get("type")
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        what = "whole, " if kind == "integer" else ""
        above = "above " if "exclusiveMinimum" in schema else ""
        below = "below " if "exclusiveMaximum" in schema else ""
        return f"{what}{above}{_number(low)} to {below}{_number(high)}"
    if kind == "array":
        if "prefixItems" in schema:
            return f"[{'; '.join(allowed(part) for part in schema['prefixItems'])}]"
        return f"list of {allowed(schema['items'])}" if "items" in schema else "list"
    return {"boolean": "true, false", "string": "text", "object": "table", "null": ""}.get(str(kind), str(kind))


def _number(value: float | None) -> str:
    if value is None:
        return "any"
    return str(value) if isinstance(value, int) and abs(value) < 10**6 else f"{value:.4g}"


def _literal(value: Any) -> str:
    if value is None:
        return "unset"
    return f"`{json.dumps(value)}`" if not isinstance(value, float) else f"`{value:.6g}`"


def _presets() -> Iterator[str]:
    keys = dict.fromkeys((s, k) for values in PRESETS.values() for s, table in values.items() for k in table)
    for section, key in keys:
        values = (_literal(PRESETS[name][section].get(key)) for name in ("plain", "robust"))
        yield f"| {section}.{key} | {' | '.join(values)} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())

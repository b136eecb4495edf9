"""Files as accidents leave them: seeded changes of bytes, of text, and of the values in JSON and TOML."""

from __future__ import annotations

import json
import math
import random
import tomllib
from typing import Any

import tomli_w

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 10**30, -(10**400), 2**63, 0.0, -0.5, 1e308, 1e-320, math.inf, -math.inf, math.nan,
    "", "x", "$$", "$\\frac{", "a\nb", "\u00e9" * 300, "../../x", "/dev/zero", "\x00", [], [[]], {}, {"a": {}},
    [1, "x", None], {"": 1}, [0] * 1000, [{}], "1979-05-27",
)  # fmt: skip
"""What a value is replaced by."""


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def paths(value: Any, prefix: tuple = ()) -> list[tuple]:
    """Of every value within a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in items for path in ((*prefix, key), *paths(item, (*prefix, key)))]


def changed_value(rng: random.Random, value: Any) -> Any:
    """One value within `value` replaced, removed, or given another name, in place; the whole where it holds none."""
    places = paths(value)
    if not places:
        return rng.choice(VALUES)
    *where, last = rng.choice(places)
    parent = value
    for key in where:
        parent = parent[key]
    kind = rng.randrange(5)
    if kind == 0:
        del parent[last]
    elif kind == 1 and isinstance(parent, dict):
        parent[str(last) + rng.choice(("x", ".y", "\n", " "))] = parent.pop(last)
    elif kind == 2:
        parent[last] = nested(rng.choice((10, 59, 70, 300)))
    else:
        parent[last] = rng.choice(VALUES)
    return value


def changed_bytes(rng: random.Random, content: bytes) -> bytes:
    """A file cut, flipped, overwritten, doubled, of another encoding, or with what parsers stumble over."""
    at = rng.randrange(len(content) + 1)
    kind = rng.randrange(12)
    noise = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + noise + content[at:]
    if kind == 2:
        return content[:at] + noise + content[at + len(noise) :]
    if kind == 3:
        return content[:at] + bytes(rng.randrange(1, 4096)) + content[at:]
    if kind == 4:
        return content + content
    if kind == 5:
        return content[:at] + b"[" * rng.choice((30, 200, 20_000)) + content[at:]
    if kind == 6:
        return content[:at] + b"9" * rng.choice((20, 400, 5000)) + content[at:]
    if kind == 7:
        return content.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig")))
    if kind == 8:
        return b""
    if kind == 9:
        return (
            content[:at] + rng.choice((b"NaN", b"inf", b"\\ud800", b"null", b"1e999", b"\n", b'"', b"}")) + content[at:]
        )
    if kind == 10:
        lines = content.split(b"\n")
        rng.shuffle(lines)
        return b"\n".join(lines)
    lines = content.split(b"\n")
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines)


def mutated(rng: random.Random, content: bytes, suffix: str) -> bytes:
    """A file of a suffix with one or two changes."""
    if rng.random() < 0.4:
        return changed_bytes(rng, content)
    try:
        if suffix == ".toml":
            value = tomllib.loads(content.decode())
            for _ in range(rng.randrange(1, 3)):
                value = changed_value(rng, value)
            return tomli_w.dumps(value).encode()
        if suffix == ".json":
            return json.dumps(changed_value(rng, json.loads(content))).encode()
        if suffix == ".jsonl":
            lines = content.splitlines()
            number = rng.randrange(len(lines))
            lines[number] = json.dumps(changed_value(rng, json.loads(lines[number]))).encode()
            return b"\n".join(lines) + b"\n"
    except (TypeError, ValueError, AttributeError, RecursionError):
        pass  # no value of the format: bytes are changed in its place
    return changed_bytes(rng, content)

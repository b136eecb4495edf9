"""Names of files from anywhere: what can be shown in one line, and what stays inside of its archive."""

from __future__ import annotations

import re
from pathlib import Path

from imctrain.errors import UserError

_LONGEST_SHOWN = 120
_DRIVE = re.compile(r"[A-Za-z]:")


def shown(name: object) -> str:
    """A name for a message of one line: what cannot be printed is escaped, the middle of a long one left out."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(name))
    if len(text) <= _LONGEST_SHOWN:
        return text
    half = _LONGEST_SHOWN // 2
    return f"{text[:half]}...{text[-half:]}"


def inside(archive: Path, name: str) -> tuple[str, ...]:
    """The parts of a member's name, without `.`.

    Raises:
        UserError: the name leads out of the archive.
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or (parts and _DRIVE.match(parts[0])):
        raise UserError(f"{shown(archive)} holds {shown(name)}, a path that leaves the archive: pack it again")
    return parts

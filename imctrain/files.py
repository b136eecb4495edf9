"""Files that are complete or not there at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from imctrain.errors import UserError

JsonValue: TypeAlias = str | int | float | bool | list["JsonValue"] | dict[str, "JsonValue"] | None


def shipped(folder: str) -> Path:
    """A folder of what comes with the project: in the wheel, or in the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "shipped" / folder
    return installed if installed.is_dir() else package.parent / folder


ENDS_BYTES = 2**16
"""Where the mark of who made a file is looked for: so much at its head and at its end."""


def refuse_overwrite(path: Path, option: str, *, force: bool = False, made_by: str | None = None) -> None:
    """Raise UserError for a file that is there and that nobody said may go, before any work is done for it.

    Args:
        option: that named the file, for the message. force: it may go, whatever it is.
        made_by: what stands in a file of this kind that imctrain itself has written, which may go; None where such a
            file is as hard to make again as any other.
    """
    if path.is_dir():
        raise UserError(f"{option} {path} is a folder: give the name of a file")
    if force or not (path.exists() or path.is_symlink()):
        return
    if made_by is not None and path.is_file() and _holds(path, made_by.encode()):
        return
    whose = f" and was not made by `{made_by}`" if made_by is not None and made_by.startswith("imctrain") else ""
    raise UserError(f"{option} {path} is there already{whose}: give another name, or overwrite it with --force")


def _holds(path: Path, mark: bytes) -> bool:
    try:
        with path.open("rb") as stream:
            head = stream.read(ENDS_BYTES)
            stream.seek(max(0, path.stat().st_size - ENDS_BYTES))
            return mark in head or mark in stream.read()
    except OSError:
        return False


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, with its suffixes; renamed to `path` on success, removed on any failure.

    Raises:
        UserError: the folder of `path` does not exist, or `path` is a folder.
    """
    if not path.parent.is_dir():
        raise UserError(f"folder {path.parent} does not exist: create it or choose another output")
    if path.is_dir():
        raise UserError(f"output {path} is a folder: give the name of a file")
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")

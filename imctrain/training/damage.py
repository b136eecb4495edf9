"""Damage to a checkpoint: how it is known, how it is told, where a damaged one goes.

Orbax reads a checkpoint with a changed byte in an array as if nothing had happened. So each checkpoint gets, as the
last thing that is written, a list of its files with their sizes and hashes (`SUMS`). A checkpoint of which a file is
missing or differs is damaged, and so is one without the list, whose writing was cut off. Checkpoints of versions that
wrote no list are taken as they are if orbax can read them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from pathlib import Path

from imctrain.errors import UserError
from imctrain.files import write_json
from imctrain.reading import read_json

SUMS = "sums.json"
"""{path within the checkpoint: [bytes, BLAKE2b of the content]}."""
ASIDE = "damaged-"
"""A damaged checkpoint is renamed to this and its step: it is in nobody's way, and somebody may want to look at it."""


class Damaged(Exception):
    """A checkpoint cannot be read as it was written; the message says why."""


def set_aside(folder: Path, step: int) -> None:
    """Rename the checkpoint of a step in a folder of checkpoints, in place of one that was set aside before."""
    target = folder / f"{ASIDE}{step}"
    shutil.rmtree(target, ignore_errors=True)
    (folder / str(step)).rename(target)


def write_sums(folder: Path) -> None:
    """List a checkpoint's files as they are: the last thing that is written of it."""
    write_json(folder / SUMS, sums(folder))


def sums(folder: Path) -> dict[str, list[int | str]]:
    """What `SUMS` says of a checkpoint's files as they are."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    return {path.relative_to(folder).as_posix(): _sum(path) for path in files}


def _sum(path: Path) -> list[int | str]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16))
    return [path.stat().st_size, digest.hexdigest()]


def check_sums(folder: Path) -> None:
    """Raises Damaged where a checkpoint's files are not as its list says."""
    try:
        listed = read_json(folder / SUMS)
        expected = [(name, size, digest) for name, (size, digest) in listed.items()]
    except (UserError, ValueError, AttributeError, TypeError):
        raise Damaged(f"{SUMS} cannot be read") from None
    for name, size, digest in expected:
        try:
            there = _sum(folder / name)
        except FileNotFoundError:
            raise Damaged(f"{name} is missing") from None
        except OSError as error:
            raise Damaged(f"{name} cannot be read: {error.strerror}") from None
        if there[0] != size:
            raise Damaged(f"{name} has {there[0]} bytes in place of {size}")
        if there[1] != digest:
            raise Damaged(f"{name} is not what was written")


def number_of(error: Exception) -> int:
    """The errno of an error of writing; tensorstore has it in its words alone. EIO where it tells none."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    found = re.search(r"OS error (\d+)", text)
    if found:
        return int(found[1])
    return errno.ENOSPC if "RESOURCE_EXHAUSTED" in text else errno.EIO


def reason(error: Exception) -> str:
    """An OSError's own words, or those that tensorstore has from the system, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    number = number_of(error)
    if number != errno.EIO:
        return os.strerror(number)
    text = " ".join(str(error).split())
    found = re.search(r"OS error \d+: ([^\]]*)", text)
    return found[1] if found else f"{type(error).__name__}: {text[:200]}"

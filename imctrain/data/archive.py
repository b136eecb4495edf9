"""Reading tar archives and folders safely: nothing is extracted to disk, and every fault is one clear line."""

from __future__ import annotations

import contextlib
import hashlib
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from imctrain.errors import UserError

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, items done, items in all; 0 if unknown)."""

_FAULTS = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError)


def no_progress(what: str, done: int, total: int) -> None:
    """The `Progress` that shows nothing."""


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what a truncated, damaged or unreadable archive raises into a `UserError` that names it."""
    try:
        yield
    except _FAULTS as fault:
        reason = (str(fault) or type(fault).__name__).splitlines()[0].rstrip(":")
        raise UserError(
            f"{path} cannot be read ({reason}): it is damaged, incomplete, or not a tar archive; get it again"
        ) from fault


def first_member(path: Path) -> str:
    """Name of the first member of a tar archive of any compression."""
    with readable(path), tarfile.open(path, "r:*") as archive:
        member = archive.next()
        if member is None:
            raise UserError(f"{path} is an empty archive")
        return member.name


def archive_files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """(path, content) of each regular file of a tar archive, in the archive's order; links are refused."""
    with readable(path), tarfile.open(path, "r|*") as archive:
        for member in archive:
            if member.isdir():
                continue
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                raise UserError(f"{path} holds {member.name}, which is no regular file: pack files, not links")
            yield PurePosixPath(member.name), content.read()


def folder_files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """(path relative to the folder, content) of each file below a folder, in sorted order."""
    for file in sorted(path.rglob("*")):
        if file.is_file():
            try:
                yield PurePosixPath(file.relative_to(path).as_posix()), file.read_bytes()
            except OSError as fault:
                raise UserError(f"{file} cannot be read: {fault.strerror or fault}") from fault

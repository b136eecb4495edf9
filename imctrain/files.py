"""Files that are complete or not there at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from imctrain.errors import UserError, shown

JsonValue: TypeAlias = str | int | float | bool | list["JsonValue"] | dict[str, "JsonValue"] | None


def shipped(folder: str) -> Path:
    """A folder of what comes with the project: in the wheel, or in the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "shipped" / folder
    return installed if installed.is_dir() else package.parent / folder


FULL = (errno.ENOSPC, errno.EDQUOT)
"""The disk is full, or the user's share of it."""
OF_THE_PATH = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
    *(errno.EACCES, errno.EPERM, errno.EROFS),
)
"""A path that cannot be used as it was asked to be: it was given, or what it lies in was."""
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
    remove_abandoned(path.parent)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        with naming(path, temporary):
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Errors of the system name the file that could not be written, in place of its temporary one: a full disk does not
    say what was too much."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and (error.filename is None or str(error.filename) == str(temporary)):
            error.filename = str(path)
        raise


def told(error: OSError, what: str = "a file") -> str:
    """An error of the system in a few words: the file (else `what`), the reason, and of a full disk the room left."""
    name = error.filename if error.filename is not None else what
    text = f"{shown(name)}: {error.strerror or error}"
    if error.errno in FULL:
        folder = Path(os.fsdecode(name)).parent
        with contextlib.suppress(OSError):
            text += f" ({shutil.disk_usage(folder).free:,} bytes are free there)"
    return text


def what_to_do(error: OSError) -> str:
    """What a person can do about it: ": make room"; "" for a fault of the disk, which ends a command with code 1."""
    if error.errno in FULL:
        return ": make room"
    return ": give another path, or change who may use it" if error.errno in OF_THE_PATH else ""


ABANDONED_SECONDS = 3600.0
"""A temporary file that nobody has written to for so long, of a process that is not here, is nobody's."""
_TEMPORARY = re.compile(r"\.(\d+)-.")
_cleaned: set[Path] = set()


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes have left of `replacing` in a folder; once a folder and process.

    A process of another machine may write to a shared folder: so the age decides too.
    """
    if folder in _cleaned:
        return
    _cleaned.add(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _TEMPORARY.match(entry.name)
            if found and entry.is_file(follow_symlinks=False) and is_abandoned(Path(entry.path), int(found[1])):
                os.unlink(entry.path)


def is_abandoned(path: Path, pid: int | None = None) -> bool:
    """Whether nothing was written to a temporary file or folder for ABANDONED_SECONDS, and its process has ended."""
    if time.time() - path.lstat().st_mtime < ABANDONED_SECONDS:
        return False
    return pid is None or not Path(f"/proc/{pid}").exists()


SCRATCH = "imctrain-scratch-"


def make_scratch() -> Path:
    """A new folder among the temporary files; what killed processes of this user left there goes first."""
    home = Path(tempfile.gettempdir())
    for left in home.glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):
            pid = left.name.removeprefix(SCRATCH).partition("-")[0]
            if pid.isdigit() and left.lstat().st_uid == os.getuid() and is_abandoned(left, int(pid)):
                shutil.rmtree(left)
    return Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-"))


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """`make_scratch`, removed at the end."""
    folder = make_scratch()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def open_log(path: Path) -> int:
    """A descriptor that appends to a log. Raises UserError for a link: who made it wants another file overwritten."""
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise UserError(f"{path} is a link: remove it, logs are written to files of the folder alone") from None


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")

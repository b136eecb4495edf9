"""Sources of files: a folder, a tar or a zip archive, told by what is there and not by its name."""

from __future__ import annotations

import hashlib
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

from imctrain.data.reading.bounds import DEFAULT, Bounds, Meter
from imctrain.data.reading.faults import readable
from imctrain.data.reading.files import Files
from imctrain.data.reading.folder import Folder
from imctrain.data.reading.names import shown
from imctrain.data.reading.tar import Tar
from imctrain.data.reading.unpack import Unpacked
from imctrain.data.reading.zips import Zip
from imctrain.errors import UserError

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, items done, items in all; 0 if unknown)."""

_ZIP = (b"PK\3\4", b"PK\5\6", b"PK\7\x08")
_NOT_READ = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
    b"MATLAB": "a MATLAB file",
    b"%!PS": "a PostScript file",
    b"%PDF": "a PDF file",
}
_KINDS = "a folder, a tar or zip archive, or an npz file"


def no_progress(what: str, done: int, total: int) -> None:
    """The `Progress` that shows nothing."""


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_source(path: Path) -> None:
    """Raises UserError for what is neither a file nor a folder, before anything is read of it."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or fault
        if isinstance(fault, FileNotFoundError):
            raise UserError(f"{shown(path)} does not exist: give {_KINDS}") from fault
        raise UserError(f"{shown(path)} cannot be read: {reason}") from fault
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        kind = "a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "a pipe or socket"
        raise UserError(f"{shown(path)} is {kind}: give {_KINDS}")


def open_files(path: Path, bounds: Bounds = DEFAULT, *, follow_links: bool = False, whole: bool = False) -> Files:
    """The files of a folder or an archive.

    Args:
        path: of the source. bounds: of what is unpacked.
        follow_links: see `Folder`. whole: see `Tar`.

    Raises:
        UserError: it is neither.
    """
    check_source(path)
    if path.is_dir():
        return Folder(path, bounds, follow_links)
    with readable(path), path.open("rb") as file:
        head = file.read(8)
    if head[:4] in _ZIP:
        return Zip(path, bounds)
    if not head:
        raise UserError(f"{shown(path)} is empty: give {_KINDS}")
    for magic, kind in _NOT_READ.items():
        if head.startswith(magic):
            raise UserError(f"{shown(path)} is {kind}, which is not read: give {_KINDS}")
    if not _is_tar(path, bounds):
        raise UserError(f"{shown(path)} is not a tar archive, nor {_KINDS.replace('a tar or zip', 'a zip')}")
    return Tar(path, bounds, whole)


def _is_tar(path: Path, bounds: Bounds) -> bool:
    """Whether the first block, unpacked, is the header of a tar archive; damage is told when it is read."""
    with readable(path), path.open("rb") as file:
        block = Unpacked(file, Meter(path, path.stat().st_size, bounds)).read(tarfile.BLOCKSIZE)
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return not block.strip(b"\0")
    return True

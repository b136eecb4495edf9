"""What damaged, cut and unreadable sources raise, as one clear line."""

from __future__ import annotations

import contextlib
import errno
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from imctrain.data.reading.names import shown
from imctrain.data.reading.unpack import Stream
from imctrain.errors import UserError

_FAULTS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk, the quota, or the largest size of a file."""


class Guarded:
    """A stream whose faults are those of its archive."""

    def __init__(self, stream: Stream, path: Path):
        self._stream = stream
        self._path = path

    def read(self, size: int = -1, /) -> bytes:
        with readable(self._path):
            return self._stream.read(size)

    def close(self) -> None:
        self._stream.close()


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what a truncated, damaged or unreadable archive raises into a `UserError` that names it."""
    try:
        yield
    except _FAULTS as fault:
        if isinstance(fault, OSError) and fault.errno in NO_ROOM:
            raise
        reason = shown((str(fault) or type(fault).__name__).splitlines()[0].rstrip(":"))
        raise UserError(
            f"{shown(path)} cannot be read ({reason}): it is damaged, incomplete, or not an archive that is read "
            "(tar and zip are); get it again"
        ) from fault

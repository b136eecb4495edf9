"""Room on a disk: taken before it is written to, and told in one line where there is none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from imctrain.data.reading.faults import NO_ROOM
from imctrain.errors import UserError

_ZEROS = bytes(1 << 20)


def allocate(descriptor: int, size: int) -> None:
    """Takes the blocks of a file's first `size` bytes.

    A file that is only as long as it should be (sparse) fails when it is written to; a memory map of one even kills
    the process. File systems that cannot allocate get zeros written.

    Raises:
        OSError: there is no room.
    """
    if size <= 0:
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
        return
    except OSError as fault:
        if fault.errno in NO_ROOM:
            raise
    except AttributeError:  # macOS has no such call
        pass
    os.lseek(descriptor, 0, os.SEEK_SET)
    written = 0
    while written < size:
        written += os.write(descriptor, _ZEROS[: size - written])
    os.lseek(descriptor, 0, os.SEEK_SET)


def is_full(fault: OSError) -> bool:
    """Whether a fault says that the disk, the quota or the largest size of a file is used up."""
    return fault.errno in NO_ROOM


def no_room(fault: OSError, folder: Path, needed: int, what: str) -> UserError:
    """The message for a full disk.

    Args:
        fault: what the system said. folder: where it was to be written.
        needed: bytes that it takes; 0 where that is not known. what: the thing that is written.
    """
    try:
        free = f"{shutil.disk_usage(folder).free} bytes are free"
    except OSError:
        free = "how much is free is not known"
    return UserError(
        f"{what} takes {f'about {needed} bytes' if needed else 'room'} in {folder}, which cannot be written "
        f"({fault.strerror or fault}; {free}): "
        "make room, or choose another folder with --data-dir"
    )

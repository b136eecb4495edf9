"""Who trains a run: a lock in its folder, held by a process until it ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imctrain.errors import UserError
from imctrain.records.layout import RunFiles


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process, until the context or the process ends.

    Raises UserError if another process holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(RunFiles(folder).lock, timeout=0)
    try:
        with lock:
            yield
    except Timeout:
        raise UserError(
            f"run folder {folder} is being trained by another process: wait for it, or stop it first"
        ) from None


def is_claimed(folder: Path) -> bool:
    """Whether a process holds a run's folder."""
    from filelock import FileLock, Timeout

    lock = RunFiles(folder).lock
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True

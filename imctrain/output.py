"""What a process prints, where its reader may go away: a pipe that is closed, a terminal that hangs up."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO

LOST = {errno.EPIPE: signal.SIGPIPE, errno.EIO: signal.SIGHUP}
"""What writing to a stream fails with once its reader has gone, and the signal that a process would get for it."""
Listener = Callable[[int], None]
_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Have `listener` told the signal's number once nobody reads what this process prints."""
    _listeners.append(listener)


def unlisten(listener: Listener) -> None:
    """The opposite of `listen`."""
    _listeners.remove(listener)


class Guarded:
    """A text stream that tells who listens once its reader has gone, and from then on prints to nowhere.

    Where nobody listens, writing fails as it did: a command with nothing to save has nothing left to do.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:
            # A name of a file may be no text at all, and a terminal may know no more than ASCII.
            encoding = self._stream.encoding or "ascii"
            return self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._lost(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lost(error)

    def _lost(self, error: OSError) -> None:
        number = LOST.get(error.errno or 0)
        if number is None or not _listeners:
            raise error
        to_nowhere(self._stream)
        for listener in _listeners:
            listener(number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def to_nowhere(stream: TextIO) -> None:
    """Send what else a stream is given, the rest of its buffer and what Python writes at exit, to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def guard_output() -> None:
    """Guard what this process prints. A stream that is closed (`>&-`) prints to nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
        if not isinstance(stream, Guarded):
            setattr(sys, name, Guarded(stream))

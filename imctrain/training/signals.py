"""Signals ask training to stop at the next step, saved: Ctrl-C, those of batch systems, a reader that has gone."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from imctrain.output import listen, unlisten

ORDERS = (signal.SIGINT, signal.SIGTERM)
"""Of a person or a system that wants it to end: a second one stops at once."""
WARNINGS = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGUSR1") if hasattr(signal, name))
"""The terminal has gone; a batch system's time is nearly up. They come several at a time, before a SIGTERM: none of
them stops what is being saved. SIGHUP stays ignored where it was (`nohup`)."""


class StopRequest:
    """Context in which the signals set `number` instead of ending the process, and so does printing to a reader that
    has gone (as SIGPIPE, or SIGHUP for a terminal)."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (*ORDERS, *WARNINGS):
                if number in WARNINGS and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._note)
        listen(self._ask)
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        unlisten(self._ask)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in ORDERS and self.number in ORDERS:
            raise KeyboardInterrupt
        self._ask(number)

    def _ask(self, number: int) -> None:
        """An order counts more than a warning; of the same kind the first one does."""
        if self.number is None or (number in ORDERS and self.number not in ORDERS):
            self.number = number


class Interrupted(Exception):
    """Training stopped on a signal, its state saved. `code` is the exit code, 128 + the signal."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number

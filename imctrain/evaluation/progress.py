"""What a person sees while dies are evaluated: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_SECONDS = 10.0
"""Seconds between two plain lines."""


class EvaluationProgress:
    """Context that shows how many of the evaluations are done, and the newest accuracy."""

    def __init__(self, console: Console, title: str, work: int):
        self._console, self._title, self._work = console, title, work
        self._live: Progress | None = None
        self._task: Any = None
        self._done = 0
        self._last_line = time.monotonic()

    def __enter__(self) -> EvaluationProgress:
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=16), MofNCompleteColumn())
            self._live = Progress(
                *columns, TextColumn("{task.fields[note]}"), TimeRemainingColumn(), console=self._console
            )
            self._live.start()
            self._task = self._live.add_task(self._title, total=self._work, note="compiling ...")
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        console = self._live.console if self._live is not None else self._console
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def measured(self, name: str, accuracy: float) -> None:
        """One evaluation more is done."""
        self._done += 1
        note = f"{name} {100 * accuracy:.2f}%"
        if self._live is not None:
            self._live.update(self._task, completed=self._done, note=note)
        elif time.monotonic() - self._last_line >= PLAIN_SECONDS:
            self._last_line = time.monotonic()
            self.say(f"{self._title}: {self._done} of {self._work}, {note}")

"""What a person sees while training runs: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

BAR = 12
AROUND = BAR + 13
"""Letters of a live line beside what it is about, the note and the count of steps: bar, time left, spaces."""
PLAIN_SECONDS = 10.0
"""Seconds between two plain lines within an epoch."""


class TrainingProgress:
    """Context that shows epoch, step, loss, accuracy, speed, ETA, clipping and the worst site's SNR."""

    def __init__(self, console: Console, title: str, total_steps: int, steps_per_epoch: int):
        self._console = console
        self._title = title
        self._total = total_steps
        self._steps = steps_per_epoch
        self._epochs = math.ceil(total_steps / steps_per_epoch)
        self._live: Progress | None = None
        self._task: Any = None
        self._last_line = time.monotonic()
        self._started: tuple[float, int] | None = None

    def __enter__(self) -> TrainingProgress:
        if self._console.is_terminal:
            whole = Column(no_wrap=True)
            self._live = Progress(
                TextColumn("{task.description}", table_column=whole, markup=False),
                BarColumn(bar_width=BAR, table_column=Column(min_width=BAR)),
                MofNCompleteColumn(table_column=whole),
                TextColumn("{task.fields[note]}", table_column=whole, markup=False),
                TimeRemainingColumn(compact=True, table_column=whole),
                console=self._console,
            )
            self._live.start()
            self._task = self._live.add_task(self._title, total=self._total, note="compiling ...")
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        console = self._live.console if self._live is not None else self._console
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def step(self, done: int, values: dict[str, float]) -> None:
        """After `done` steps in all; values: loss, accuracy and what else is known (see `_note`)."""
        if self._started is None:
            self._started = (time.monotonic(), done)
        epoch = (done - 1) // self._steps + 1
        if self._live is not None:
            description = f"{self._title} epoch {epoch}/{self._epochs}"
            note = _fitting(values, self._console.width - len(description) - 2 * len(str(self._total)) - AROUND)
            self._live.update(self._task, completed=done, note=note, description=description)
        elif time.monotonic() - self._last_line >= PLAIN_SECONDS:
            self._last_line = time.monotonic()
            self.say(f"{self._title} epoch {epoch}/{self._epochs} step {done}: {_note(values)}, {self._eta(done)} left")

    def epoch(self, number: int, values: dict[str, float]) -> None:
        """After epoch `number` (from 1): train and test or validation figures, one line that stays."""
        self._last_line = time.monotonic()
        text = f"{self._title} epoch {number}/{self._epochs}: {_note(values)}"
        for what in ("test", "validation"):
            if f"{what}_accuracy" in values:
                text += f", {what} accuracy {100 * values[f'{what}_accuracy']:.2f}%"
        self.say(f"{text}, {values['seconds']:.1f} s")

    def _eta(self, done: int) -> str:
        assert self._started is not None
        since, first = self._started
        if done <= first:
            return "?"
        seconds = (time.monotonic() - since) / (done - first) * (self._total - done)
        return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def _note(values: dict[str, float]) -> str:
    return ", ".join(_parts(values))


def _fitting(values: dict[str, float], room: int) -> str:
    """As much of the note as a line has room for, first things first, none of them cut."""
    parts = _parts(values)
    while parts and len(", ".join(parts)) > room:
        parts.pop()
    return ", ".join(parts)


def _parts(values: dict[str, float]) -> list[str]:
    """What is known, the most important first."""
    parts = [f"loss {values['loss']:.4f}", f"accuracy {100 * values['accuracy']:.1f}%"]
    if "images_per_second" in values:
        parts.append(f"{values['images_per_second']:.0f} images/s")
    if math.isfinite(values.get("clipped", math.nan)):
        parts.append(f"clipped {100 * values['clipped']:.2g}%")
    if math.isfinite(values.get("worst_snr_db", math.nan)):
        parts.append(f"worst SNR {values['worst_snr_db']:.1f} dB")
    return parts

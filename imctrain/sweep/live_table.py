"""What a person sees of a sweep: a live table of trials in a terminal, a line a change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from imctrain.sweep.folder import SweepFolder, TrialStatus

REFRESH_SECONDS = 2.0
STYLES = {"running": "bold", "done": "green", "failed": "red", "stopped": "yellow", "pruned": "dim", "waiting": "dim"}
SHOWN = ("running", "stopped", "failed", "waiting", "done", "pruned")
"""In a terminal with fewer rows than trials, which are shown first."""


class LiveTable:
    """Context that shows state, epoch, accuracy and time left of every trial, and below them what `note` says."""

    def __init__(
        self,
        console: Console,
        sweep: SweepFolder,
        keys: Sequence[str],
        jobs: int,
        note: Callable[[], str] = lambda: "",
    ):
        self._console = console
        self._sweep = sweep
        self._jobs = jobs
        self._note = note
        self._titles: dict[str, str] = {}
        self._epochs: dict[str, int] = {}
        self._statuses: dict[str, TrialStatus] = {}
        self.watch(keys)
        self._live: Live | None = None
        self._last = 0.0

    def __enter__(self) -> LiveTable:
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.tick(now=True)
        if self._live is not None:
            self._live.stop()

    def watch(self, keys: Sequence[str]) -> None:
        """Show these trials too."""
        for key in keys:
            self._titles[key] = self._sweep.title(key)
            self._epochs[key] = self._sweep.config(key).training.epochs
            self._statuses[key] = self._sweep.status(key, self._epochs[key])

    def tick(self, now: bool = False) -> None:
        """Read the files again, if the last time is long enough ago."""
        if not now and time.monotonic() - self._last < REFRESH_SECONDS:
            return
        self._last = time.monotonic()
        for key, before in self._statuses.items():
            if before.state in ("done", "pruned"):
                continue
            status = self._statuses[key] = self._sweep.status(key, self._epochs[key])
            if self._live is None and (status.state, status.epoch) != (before.state, before.epoch):
                self._say(key, status)
        if self._live is not None:
            self._live.update(self._table(), refresh=True)

    def _say(self, key: str, status: TrialStatus) -> None:
        done = sum(s.state == "done" for s in self._statuses.values())
        parts = [f"[{done}/{len(self._statuses)}] {self._titles[key]}: {status.state}"]
        if status.epoch:
            parts.append(f"epoch {status.epoch}/{status.epochs}")
        if status.accuracy is not None:
            parts.append(f"accuracy {100 * status.accuracy:.2f}%")
        if status.error:
            parts.append(status.error)
        self._console.print(", ".join(parts), markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False)
        for name, align in (("trial", "left"), ("state", "left"), ("epoch", "right"), ("accuracy", "right")):
            table.add_column(name, justify=align)  # type: ignore[arg-type]
        table.add_column("left", justify="right")
        rows = max(4, self._console.height - 4)
        order = sorted(self._statuses, key=lambda key: SHOWN.index(self._statuses[key].state))
        shown = set(order[:rows])
        for key, status in self._statuses.items():
            if key in shown:
                accuracy = "" if status.accuracy is None else f"{100 * status.accuracy:.2f}%"
                epoch = f"{status.epoch}/{status.epochs}" if status.epochs else ""
                left = duration(status.seconds_left) if status.state == "running" else ""
                state = Text(status.state, style=STYLES[status.state])
                table.add_row(Text(self._titles[key]), state, epoch, accuracy, left)
        return Group(table, Text(self.summary(), style="dim"), *([Text(note)] if (note := self._note()) else []))

    def summary(self) -> str:
        """Counts, and when it will be over as far as finished trials tell."""
        statuses = self._statuses.values()
        counts = {state: sum(s.state == state for s in statuses) for state in SHOWN}
        text = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        whole = [s.seconds for s in statuses if s.state == "done" and s.seconds]
        whole += [s.seconds + (s.seconds_left or 0.0) for s in statuses if s.state == "running" and s.seconds]
        if whole and (counts["waiting"] or counts["running"]):
            mean = sum(whole) / len(whole)
            left = sum(
                mean if s.seconds_left is None else s.seconds_left
                for s in statuses
                if s.state in ("waiting", "running", "stopped")
            )
            text += f"; about {duration(left / self._jobs)} left"
        return text


def duration(seconds: float | None) -> str:
    """A rough time: "40 s", "12 min", "3.5 h"."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

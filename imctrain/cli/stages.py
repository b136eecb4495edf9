"""Progress of work that goes from stage to stage and counts what is done in each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imctrain.data.archive import Progress


@contextlib.contextmanager
def stages() -> Iterator[Progress]:
    """A bar for each stage on a terminal; a line for each stage elsewhere. Both go to stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal:
        told: set[str] = set()

        def line(what: str, done: int, total: int) -> None:
            if what not in told:
                told.add(what)
                console.print(f"{what} ...", soft_wrap=True, markup=False, highlight=False)

        yield line
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def bar(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for earlier in bars.tasks:
                    bars.update(earlier.id, total=earlier.total or 1, completed=earlier.total or 1)
                tasks[what] = bars.add_task(what, total=None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield bar

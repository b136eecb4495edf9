"""Progress bars for work that tells how far it is as a fraction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bars(*stages: str) -> Iterator[tuple[Callable[[float], None], ...]]:
    """A function for each stage, to be told the fraction done; bars on stderr if that is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = [progress.add_task(stage, total=1.0) for stage in stages]

        def teller(number: int) -> Callable[[float], None]:
            return lambda fraction: progress.update(tasks[number], completed=fraction)

        yield tuple(teller(number) for number in range(len(stages)))

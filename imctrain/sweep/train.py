"""Train what is planned in a sweep's folder and is not there yet."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from rich.console import Console

from imctrain.errors import UserError
from imctrain.records.damaged import set_aside_damaged_result
from imctrain.sweep.base import marks_of, require_one_sweep
from imctrain.sweep.folder import DIVERGED, SweepFolder
from imctrain.sweep.live_table import LiveTable
from imctrain.sweep.spec import SweepSpec, expand
from imctrain.sweep.supply import Planned, Supply
from imctrain.sweep.trial import Trial
from imctrain.training.signals import StopRequest


class Executor(Protocol):
    """Trains trials somewhere."""

    @property
    def jobs(self) -> int: ...

    def run(self, supply: Supply, tick: Callable[[], None], stopping: Callable[[], bool]) -> None: ...


def plan(sweep: SweepFolder, spec: SweepSpec) -> list[str]:
    """Write a sweep's trials down; returns their keys. Raises UserError before anything is written."""
    trials = expand(spec)
    if not trials:
        raise UserError(f"sweep {spec.name} has no trial")
    check_hardware(trials, Path(spec.config).parent)
    marks = marks_of(spec, trials)
    require_one_sweep(sweep, spec.name, trials, marks)
    keys = sweep.add(spec.name, trials, Path(spec.config).parent, marks)
    for key in keys:
        sweep.want(key)
    return keys


def check_hardware(trials: Sequence[Trial], config_dir: Path) -> None:
    """Every trial's array must be possible: found out now, not after the trials before it."""
    from imctrain.experiment.from_config import build_hardware, build_rules, calibration_of

    for trial in trials:
        if trial.config.imc.path != "float":
            build_hardware(trial.config.imc, calibration_of(trial.config, config_dir))
            build_rules(trial.config.imc)


def run(
    sweep: SweepFolder, keys: Sequence[str], executor: Executor, console: Console, *, retry_failed: bool = False
) -> dict[str, list[str]]:
    """Train those of the planned trials that have no result; returns keys by state.

    A trial that failed is tried again if it was its process that failed; one that diverged or whose config is not
    possible would do the same again, and is tried only if `retry_failed`. One that a search has stopped stays so.
    """
    todo = []
    for key in keys:
        note = set_aside_damaged_result(sweep.trial(key))
        if note:
            console.print(f"note: trial {key}: {note}", markup=False, soft_wrap=True)
        status = sweep.status(key)
        lasting = status.state == "failed" and status.code in (2, DIVERGED)
        if status.state not in ("done", "pruned") and (retry_failed or not lasting):
            sweep.forgive(key)
            todo.append(key)
    console.print(
        f"{len(keys)} trials, {len(keys) - len(todo)} of them finished before; {min(executor.jobs, len(todo))} at a "
        f"time, in {sweep.path}",
        markup=False,
        soft_wrap=True,
    )
    with StopRequest() as stop, LiveTable(console, sweep, keys, executor.jobs) as table:
        if todo:
            executor.run(Planned(todo), table.tick, lambda: stop.number is not None)
    states: dict[str, list[str]] = {}
    for key in keys:
        states.setdefault(sweep.status(key).state, []).append(key)
    for key in states.get("failed", []):
        console.print(
            f"failed: {sweep.title(key)}: {sweep.status(key).error} (log: {sweep.trial(key).log})",
            markup=False,
            soft_wrap=True,
        )
    if stop.number is not None:
        raise Stopped(stop.number)
    return states


class Stopped(Exception):
    """The sweep was stopped by a signal; its trials are saved. `code` is the exit code."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number

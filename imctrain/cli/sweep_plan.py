"""`imctrain sweep ... --dry-run` and `--estimate`: what a sweep would train, and what that takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imctrain.cli.terminal import Terminal

if TYPE_CHECKING:
    from imctrain.sweep.spec import SweepSpec

DryRun = Annotated[bool, typer.Option("--dry-run", help="List the trials; train and write nothing.")]
Estimate = Annotated[
    bool, typer.Option("--estimate", help="Say how many trials, minutes and joules; train and write nothing.")
]


def show_plan(spec: SweepSpec, out: Path, jobs: int | None, *, listing: bool, estimating: bool) -> None:
    """Trials by name, or what they take, or both."""
    from imctrain.experiment.jax_setup import prepare_jax
    from imctrain.sweep.estimate import estimate, listed, planned
    from imctrain.sweep.folder import SweepFolder

    console = Terminal(highlight=False)
    prepare_jax()
    trials = planned(spec, SweepFolder(out))
    if listing:
        for line in listed(trials):
            console.print(line, markup=False, soft_wrap=True)
    if estimating:
        from imctrain.bench.trial_step import time_step
        from imctrain.sweep.local_pool import slots

        console.print("timing steps ...", markup=False, soft_wrap=True)
        lines = estimate(trials, Path(spec.config).parent, len(slots(jobs)), time_step)
    else:
        lines = [f"{len(trials)} trials, {sum(one.state == 'done' for one in trials)} of them done"]
    for line in [*lines, "nothing was trained or written"]:
        console.print(line, markup=False, soft_wrap=True)

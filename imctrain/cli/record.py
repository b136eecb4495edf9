"""`imctrain record`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from imctrain.cli.options import Force
from imctrain.experiment.jax_setup import prepare_jax
from imctrain.files import refuse_overwrite


def record(
    run: Annotated[Path, typer.Option("--run", metavar="DIR", help="Folder of the run.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where the recording goes (npz).")] = Path(
        "gradients.npz"
    ),
    step: Annotated[
        list[int] | None,
        typer.Option(
            "--step",
            min=0,
            metavar="N",
            help="Record the checkpoint after N steps (0: untrained); may be repeated. Default: the first, the middle "
            "and the last that there are.",
            show_default=False,
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Record the gradient MVMs of a run: what is driven and what is stored.

    At each checkpoint one batch goes forward and backward on the run's own path.
    Of every site's input-gradient and weight-gradient MVM a sample is kept, before
    it is rounded to its format: whole row tiles, some vectors, some outputs.

    A run keeps its newest two checkpoints and its best; [checkpoint] keep = 100
    keeps all, and every_steps = N makes more of them.

    Example: `imctrain record --run runs/quickstart --out gradients.npz`
    """
    refuse_overwrite(out, "--out", force=force)
    console = Console(highlight=False)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    say("loading jax ...")
    prepare_jax()
    from imctrain.studies.record import record_run
    from imctrain.studies.recording import save_recording

    recording = record_run(run, step or (), say)
    save_recording(recording, out)
    size = out.stat().st_size
    steps = ", ".join(map(str, recording.steps))
    sites = len(recording.about["sites"])
    say(f"{len(recording.records)} MVMs ({sites} sites at steps {steps}) in {out}, {size / 1e6:.2f} MB")

"""`imctrain bench`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from imctrain.experiment.jax_setup import prepare_jax


def bench(
    models: Annotated[str, typer.Option("--models", help="cnn5, resnet20, dense: any, separated by commas.")] = (
        "cnn5,resnet20,dense"
    ),
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images a step.")] = 128,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Rounds to take the median of.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a model, on a line of its own.")] = False,
) -> None:
    """Time a training step on every path, as ratios to the float step.

    Float, 4-bit formats (digital), statistical and exact (noise on) steps run in
    turn in one process; the table gives medians as ratios to the float step, the
    share of the exact step that noise costs, conversions a second and memory.

    Example: `imctrain bench --models resnet20 --json`
    """
    prepare_jax()
    from imctrain.bench.measure import measure, table

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    results = []
    for model in models.split(","):
        results.append(measure(model.strip(), batch, repeats, say))
        if as_json:
            typer.echo(json.dumps(results[-1].as_dict()))
    if not as_json:
        typer.echo(table(results))

"""`imctrain export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from imctrain.cli.options import Force


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="A .npz or .safetensors file.", show_default=False)
    ],
    checkpoint: Annotated[
        Literal["best", "last"], typer.Option("--checkpoint", help="Of best accuracy, or the newest.")
    ] = "best",
    force: Force = False,
) -> None:
    """Write a trained network to one file that leaves this machine.

    The file holds the float32 parameters and batch statistics by path; for each
    site the integer codes, scale and clip of the weights that the array holds,
    encoded as the forward MVM encodes them, and the ranges of its converters; and
    a manifest (JSON): config, content of the calibration, accuracy, hashes.

    `imctrain evaluate FILE` and `imctrain run --init FILE` take it, and
    `imctrain.load_export(FILE)` in Python. safetensors needs
    `pip install 'imctrain[export]'`.

    Example: `imctrain export runs/quickstart-20250101-120000 --out digits.npz`
    """
    from imctrain.experiment.jax_setup import prepare_jax

    prepare_jax()
    from imctrain.experiment.export import export_run

    manifest = export_run(run, out, checkpoint, force=force)
    accuracy = "" if manifest.test_accuracy is None else f", test accuracy {100 * manifest.test_accuracy:.2f}%"
    typer.echo(
        f"{out}: {manifest.name}, {checkpoint} checkpoint (step {manifest.step}){accuracy}, codes of "
        f"{len(manifest.sites)} sites, {out.stat().st_size / 1e6:.2f} MB"
    )

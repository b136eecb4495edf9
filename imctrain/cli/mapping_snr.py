"""`imctrain mapping-snr`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from imctrain.cli.options import Force
from imctrain.experiment.jax_setup import prepare_jax
from imctrain.files import refuse_overwrite

MADE_BY = "imctrain mapping-snr"


def mapping_snr(
    recording: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `imctrain record` wrote (npz).", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results.")] = Path(),
    sigma: Annotated[
        list[float] | None,
        typer.Option(
            "--sigma",
            min=0.0,
            metavar="LSB",
            help="Noise before rounding, LSB at R = 1; may be repeated (default: 0.25, 0.35, 0.5, 1, 2).",
            show_default=False,
        ),
    ] = None,
    conversions: Annotated[
        int, typer.Option("--conversions", min=1, metavar="N", help="Conversions of each output, plane and tile.")
    ] = 21,
    calibration: Annotated[
        str, typer.Option("--calibration", metavar="NAME", help="Array and converter; its mismatch is left out.")
    ] = "vlsi21-28nm-assumed",
    force: Force = False,
) -> None:
    """SNR of the gradient mappings at equal conversions, on recorded gradients.

    Every mapping (bit_serial, grouped, balanced) gets the same number of
    conversions: one with fewer passes repeats each of them and averages. Writes
    mapping_snr.json and the figure mapping_snr.png and .svg.

    Example: `imctrain mapping-snr gradients.npz --out results`
    """
    console = Console(highlight=False)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    for suffix in (".json", ".png", ".svg"):
        refuse_overwrite(out / f"mapping_snr{suffix}", "--out", force=force, made_by=MADE_BY)
    say("loading jax ...")
    prepare_jax()
    from imctrain.studies.mapping_snr import SIGMAS, Settings, measure, summary, write_results
    from imctrain.studies.recording import load_recording

    settings = Settings(calibration, tuple(sorted(set(sigma or SIGMAS))), conversions=conversions)
    results = measure(load_recording(recording), settings, say)
    files = write_results(results, out)
    for line in summary(results):
        say(line)
    say(f"results in {', '.join(map(str, files))}")

"""`imctrain report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imctrain.cli.options import Force
from imctrain.files import refuse_overwrite


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that holds runs or sweeps.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The page (default: DIR/report.html).", show_default=False),
    ] = None,
    force: Force = False,
) -> None:
    """Gather all runs and sweeps below a folder into one self-contained HTML page.

    Lists every run with its accuracy, status (finished, failed, stopped or
    unfinished), date, commit, energy, and the settings in which it differs from
    the others; the table is sorted and filtered in the page. A click on a run
    draws its learning curve, and SNR and clipping by site. Below are the sweeps'
    figures and tables, and accuracy against energy. A run with a damaged file is
    left out and named.

    A sweep's pictures are kept in SWEEP/results/.page until its trials change. Of a sweep's folder, tables
    and figures are also written to DIR/results as CSV, JSON, Markdown, PNG and SVG.

    A sweep is its folder and its name: sweeps of one name in several folders stay
    apart, copies of a run are told, and trials of two experiments under one name
    get no mean and no figure.

    Example: `imctrain report runs`
    """
    from rich.console import Console

    from imctrain.cli.bars import bars
    from imctrain.experiment.jax_setup import prepare_jax
    from imctrain.records.layout import SweepFiles
    from imctrain.report.page import write_page
    from imctrain.report.sweep_results import write_results
    from imctrain.studies.energy import KeptEnergy

    console = Console(highlight=False)
    target = out if out is not None else folder / "report.html"
    refuse_overwrite(target, "--out", force=force, made_by="imctrain report")
    console.print(f"reading {folder} ...", markup=False, soft_wrap=True)
    prepare_jax()
    pricing = KeptEnergy()
    if SweepFiles(folder).is_sweep:
        write_results(folder, pricing)
    with bars("drawing the runs") as (drawn,):
        count = write_page(folder, target, drawn, pricing)
    console.print(f"{count} runs in {target}", markup=False, soft_wrap=True)

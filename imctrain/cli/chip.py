"""`imctrain chip`: the virtual chip."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from imctrain.cli.app import Commands
from imctrain.cli.options import Force
from imctrain.errors import UserError
from imctrain.files import refuse_overwrite

app = Commands(help="A virtual chip: conversions drawn from a calibration.")


class Entrance(StrEnum):
    ideal = "ideal"
    dot = "dot"


@app.callback()
def group() -> None:
    """A virtual chip: conversions drawn from a calibration."""


@app.command()
def sample(
    calibration: Annotated[
        str, typer.Option("--calibration", metavar="NAME|FILE", help="A shipped calibration's name, or a JSON file.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write: .csv, .csv.gz or .parquet.")
    ],
    conversions: Annotated[int, typer.Option(help="Rows to draw.")] = 200_000,
    columns: Annotated[
        int | None, typer.Option(help="Columns to measure, from 0 (default: the whole array).", show_default=False)
    ] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            help="Reference range R in (0, 1], such as 1,0.25; may be repeated (default: 1).",
            show_default=False,
        ),
    ] = None,
    inputs: Annotated[
        int | None, typer.Option(help="Distinct inputs, evenly spaced (default: any).", show_default=False)
    ] = None,
    entrance: Annotated[
        Entrance, typer.Option(help="Write the input as v or as integer dot product.")
    ] = Entrance.ideal,
    dies: Annotated[int, typer.Option(help="Dies to measure; the first has the calibration's columns.")] = 1,
    temperatures: Annotated[
        list[str] | None,
        typer.Option("--temperature", help="Degrees Celsius, such as -40,25,85; may be repeated.", show_default=False),
    ] = None,
    supplies: Annotated[
        list[str] | None,
        typer.Option("--supply", "--vdd", help="Volts, such as 0.72,0.8,0.88; may be repeated.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of unlisted columns and of the noise.", min=0)] = 0,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Write the drawn chip's true figures too.", show_default=False),
    ] = None,
    force: Force = False,
) -> None:
    """Draw measurements from a calibration, as the chip that it describes would give them.

    For tests, demonstrations, and to plan how many measurements a calibration
    needs. The file is marked as simulated: a calibration fitted to it says
    `assumed`, never `measured`.

    --truth writes what the chip that was drawn really has as a calibration: what a
    fit to the measurements should find, and what a network can be evaluated on.

    Examples:

      imctrain chip sample --calibration vlsi21-28nm-assumed --out chip.csv

      imctrain chip sample --calibration mine.json --out chip.parquet --truth true.json
      --conversions 2000000 --range 1,0.25 --dies 3 --temperature -40,25,85
      --supply 0.72,0.8,0.88 --seed 3
    """
    from imctrain.calibration import load_calibration, save_calibration
    from imctrain.calibration.virtual_chip import SamplePlan, VirtualChip, truth_of, write_samples
    from imctrain.cli.bars import bars
    from imctrain.cli.numbers import numbers

    chip = VirtualChip(load_calibration(calibration), seed)
    plan = SamplePlan(
        conversions=conversions,
        columns=columns,
        ranges=numbers("--range", ranges) or (1.0,),
        levels=inputs,
        dies=dies,
        temperatures=numbers("--temperature", temperatures),
        supplies=numbers("--supply", supplies),
        entrance=entrance.value,
    )
    if truth is not None and truth.suffix != ".json":
        raise UserError(f"--truth {truth}: give a name that ends in .json")
    refuse_overwrite(out, "--out", force=force)
    if truth is not None:
        refuse_overwrite(truth, "--truth", force=force)
    with bars("drawing") as (drawing,):
        write_samples(chip, plan, out, drawing)
    if truth is not None:
        save_calibration(truth_of(chip, dies), truth)
    typer.echo(f"{conversions} conversions of a virtual {chip.calibration.name} in {out}")

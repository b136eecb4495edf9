"""`imctrain results`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from imctrain.cli.options import Force
from imctrain.errors import UserError
from imctrain.files import refuse_overwrite, write_text

STDOUT = "-"


def results(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that holds runs or sweeps.", show_default=False)
    ],
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE|-", help="Write CSV; - is stdout.", show_default=False)
    ] = None,
    json: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE|-", help="Write a JSON list of rows; - is stdout.", show_default=False),
    ] = None,
    force: Force = False,
) -> None:
    """All runs and sweeps below a folder as one table, a row for each run.

    Columns: folder, sweep, reference, variant, seed, error; a column for each
    axis of a sweep, named by its key; and every number, text and flag of
    result.json (`imctrain schema result` says what they mean). A run that is in
    several sweeps has a row in each; copies of a run are left out. Without --csv
    and --json, CSV goes to stdout. docs/results.md describes every column.

    Example: `imctrain results runs --csv results.csv`
    """
    from imctrain.api import load_results

    if csv == json == STDOUT:
        raise UserError("--csv - and --json - would both go to stdout: name a file for one of them")
    chosen = [("--csv", csv), ("--json", json)] if csv is not None or json is not None else [("--csv", STDOUT)]
    for option, target in chosen:
        if target not in (None, STDOUT):
            refuse_overwrite(Path(target or ""), option, force=force)
    frame = load_results(folder)
    for option, target in chosen:
        if target is None:
            continue
        text = frame.write_csv() if option == "--csv" else f"{frame.write_json()}\n"
        if target == STDOUT:
            sys.stdout.write(text)
            continue
        try:
            write_text(Path(target), text)
        except OSError as error:
            raise UserError(f"{option} {target} cannot be written ({error.strerror}): choose another place") from None
        typer.echo(f"{frame.height} rows, {frame.width} columns in {target}", err=STDOUT in (csv, json))

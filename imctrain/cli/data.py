"""`imctrain data`: import data sets, list what is prepared, and read it again."""

from __future__ import annotations

from typing import Annotated

import typer

from imctrain.cli.app import Commands
from imctrain.cli.data_import import import_command
from imctrain.cli.options import DataDir
from imctrain.cli.stages import stages
from imctrain.errors import UserError

app = Commands(
    help="Import data sets, list what is prepared, and verify it.",
)

app.command("import")(import_command)


@app.command("verify")
def verify_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Data sets; left out, all that are prepared.", metavar="[NAME...]", show_default=False),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Read every record of prepared data sets again, and compare them with what was imported.

    Every image is decoded, counted, and compared by a digest that the import
    kept; the decoded cache is compared with its own. Exit code 2 if anything is
    damaged.

    Examples:

      imctrain data verify

      imctrain data verify leaves --data-dir /scratch/datasets
    """
    from imctrain.data.checking import check_prepared
    from imctrain.data.prepared import list_prepared

    wanted = names or [entry.name for entry in list_prepared(data_dir)]
    if not wanted:
        typer.echo("no data set is prepared")
        return
    faults = []
    for name in wanted:
        with stages() as progress:
            try:
                typer.echo(f"{name}: {check_prepared(name, data_dir, progress=progress)}")
            except UserError as fault:
                faults.append(name)
                typer.echo(f"{name}: DAMAGED: {fault}")
    if faults:
        raise UserError(f"{len(faults)} of {len(wanted)} data sets cannot be used: {', '.join(faults)}")


@app.command("list")
def list_command(data_dir: DataDir = None) -> None:
    """List the data sets that can be trained on, and where they are.

    The folders searched are --data-dir if it is given, else the default and
    TFDS's own ($TFDS_DATA_DIR, else ~/tensorflow_datasets). A data set whose
    records are not ArrayRecord is listed but cannot be trained on.

    Examples:

      imctrain data list

      imctrain data list --data-dir /scratch/datasets
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from imctrain.data import EXPECTED, cache
    from imctrain.data.paths import search_dirs
    from imctrain.data.prepared import list_prepared

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "version", "splits", "size", "classes", "source", "format"):
        table.add_column(column, overflow="fold")
    digits = EXPECTED["digits"]
    splits = f"train {digits.images('train')}, test {digits.images('test')}"
    size = "x".join(map(str, digits.shape))
    table.add_row("digits", "-", splits, size, str(len(digits.classes)), "built in (scikit-learn)", "-")
    folders = search_dirs(data_dir)
    places = []
    for entry in list_prepared(data_dir):
        splits = ", ".join(f"{split} {count}" for split, count in entry.splits.items())
        shape = "-" if entry.shape is None else "x".join("?" if n is None else str(n) for n in entry.shape)
        source = entry.source.file or entry.source.kind
        if entry.source.lossy:
            source += " (lossy)"
        if entry.source.how:
            source += f" ({entry.source.how})"
        if entry.source.remark:
            source += f" (not as published: {entry.source.remark})"
        table.add_row(
            entry.name, entry.version, splits, shape, str(entry.classes or "-"), escape(source), entry.file_format
        )
        home = next(folder for folder in folders if entry.path.is_relative_to(folder))
        decoded = cache.cache_path(entry.path, entry.name, home)
        places.append(f"{entry.name}: {entry.path} ({entry.size / 2**20:.0f} MiB)")
        places.append(f"  cache: {decoded if decoded.is_dir() else 'made at the first load'}")
    console = Console()
    console.print(table)
    console.print()
    for place in places:
        console.print(place, soft_wrap=True, markup=False, highlight=False)
    console.print(f"searched: {', '.join(map(str, folders))}", soft_wrap=True, markup=False, highlight=False)

"""`imctrain data`: import data sets, and list what is prepared."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from imctrain.data.archive import Progress

app = typer.Typer(
    help="Import data sets and list what is prepared.",
    no_args_is_help=True,
)

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder of prepared data sets (default: $IMCTRAIN_DATA_DIR, else ~/.cache/imctrain/datasets).",
        show_default=False,
        file_okay=False,
    ),
]


@app.command("import")
def import_command(
    name: Annotated[
        str, typer.Argument(help="cifar10, fashion_mnist, or a new name for images of your own.", metavar="NAME")
    ],
    path: Annotated[
        Path | None,
        typer.Argument(
            help="Archive or folder to import; left out, the official CIFAR-10 archive is downloaded.",
            metavar="[PATH]",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the data set if it is prepared from another source.")
    ] = False,
) -> None:
    """Verify a data set and prepare it for training.

    The records are written in TFDS's own layout as ArrayRecord, without
    TensorFlow, and decoded once into a memory-mapped cache. Everything is
    verified before anything is written; an interrupted import leaves no data
    set behind; importing the same source again does nothing.

    cifar10 takes the official cifar-10-binary.tar.gz or cifar-10-python.tar.gz
    (the official checksum is enforced), or an image tree. Counts, sizes and
    classes are verified. JPEG images are noted as lossy: results say so.

    fashion_mnist takes the folder of its four idx files, gzipped or not.

    Any other name takes an image tree: train/CLASS/IMAGE and test/CLASS/IMAGE
    in a folder or a tar (.gz, .bz2, .xz), all images of one size, 8-bit RGB or
    grey.

    Examples:

      imctrain data import cifar10

      imctrain data import cifar10 ~/Downloads/cifar-10-python.tar.gz

      imctrain data import fashion_mnist ~/Downloads/fashion-mnist

      imctrain data import leaves ~/leaves --data-dir /scratch/datasets
    """
    from imctrain.data.importing import import_dataset
    from imctrain.data.loading import load

    with _progress() as progress:
        prepared, written = import_dataset(name, path, data_dir=data_dir, replace=replace, progress=progress)
        dataset = load(name, data_dir, progress=progress)
    height, width, channels = dataset.shape
    what = "imported" if written else "was already imported"
    typer.echo(
        f"{name} {what}: {len(dataset.train)} training and {len(dataset.test)} test images of "
        f"{height}x{width}x{channels}, {len(dataset.classes)} classes, in {prepared.path}"
    )
    if prepared.source.lossy:
        typer.echo(f"note: {prepared.source.file} holds lossy (JPEG) copies; results trained on it say so")


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
    from rich.table import Table

    from imctrain.data import cache
    from imctrain.data.paths import search_dirs
    from imctrain.data.prepared import list_prepared

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "version", "splits", "size", "classes", "source", "format"):
        table.add_column(column, overflow="fold")
    table.add_row("digits", "-", "train 1437, test 360", "8x8x1", "10", "built in (scikit-learn)", "-")
    folders = search_dirs(data_dir)
    places = []
    for entry in list_prepared(data_dir):
        splits = ", ".join(f"{split} {count}" for split, count in entry.splits.items())
        shape = "-" if entry.shape is None else "x".join("?" if n is None else str(n) for n in entry.shape)
        source = entry.source.file or entry.source.kind
        if entry.source.lossy:
            source += " (lossy)"
        table.add_row(entry.name, entry.version, splits, shape, str(entry.classes or "-"), source, entry.file_format)
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


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """A bar for each stage on a terminal; a line for each stage elsewhere. Both go to stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal:
        told: set[str] = set()

        def line(what: str, done: int, total: int) -> None:
            if what not in told:
                told.add(what)
                console.print(f"{what} ...", soft_wrap=True, markup=False, highlight=False)

        yield line
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console) as bars:
        stages: dict[str, TaskID] = {}

        def bar(what: str, done: int, total: int) -> None:
            if what not in stages:
                for earlier in bars.tasks:
                    bars.update(earlier.id, total=earlier.total or 1, completed=earlier.total or 1)
                stages[what] = bars.add_task(what, total=None)
            bars.update(stages[what], completed=done, total=total or None)

        yield bar

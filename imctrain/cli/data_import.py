"""`imctrain data import`: files of any origin become a data set that can be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imctrain.cli.options import DataDir
from imctrain.cli.stages import stages

if TYPE_CHECKING:
    from imctrain.data.dataset import Dataset


def _bound(flag: str, what: str) -> Any:
    """An option that raises or lowers a bound of what is unpacked."""
    return typer.Option(
        f"--max-{flag}", metavar="N", help=f"{what}, at most (docs/data.md).", min=1, show_default=False
    )


def import_command(
    name: Annotated[
        str,
        typer.Argument(help="A data set known by name (see below), or a new name for your own.", metavar="NAME"),
    ],
    path: Annotated[
        Path | None,
        typer.Argument(
            help="File, archive or folder; left out, the official CIFAR-10 or CIFAR-100 archive is downloaded.",
            metavar="[PATH]",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace the data set if it is prepared from another source or otherwise."),
    ] = False,
    test_fraction: Annotated[
        float | None,
        typer.Option(
            "--test-fraction",
            metavar="FRACTION",
            help="Make this share of every class test images, where there are none.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the choice of test images.", min=0)] = 0,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode", metavar="rgb|grey", help="Colours of all images (default: as they are).", show_default=False
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size", metavar="HxW", help="Resize all images, such as 32x32 (default: as they are).", show_default=False
        ),
    ] = None,
    fit: Annotated[
        str,
        typer.Option(
            "--fit",
            metavar="crop|pad|stretch",
            help="How resizing keeps proportions: cut around the centre, fill up with the background, or not at all.",
        ),
    ] = "crop",
    background: Annotated[
        str,
        typer.Option("--background", metavar="white|black", help="Shows through transparent pixels, and fills up."),
    ] = "white",
    skip_bad: Annotated[
        float,
        typer.Option(
            "--skip-bad",
            metavar="FRACTION",
            help="Leave out images that cannot be read, up to this share, and say which.",
        ),
    ] = 0.0,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Follow links of a folder that lead out of it, or to folders.")
    ] = False,
    max_pixels: Annotated[int | None, _bound("pixels", "Pixels of one image")] = None,
    max_files: Annotated[int | None, _bound("files", "Files of the source")] = None,
    max_bytes: Annotated[int | None, _bound("bytes", "Bytes that are unpacked")] = None,
    max_ratio: Annotated[int | None, _bound("ratio", "Unpacked by packed bytes")] = None,
) -> None:
    """Verify a data set and prepare it for training.

    The records are written in TFDS's own layout as ArrayRecord, without
    TensorFlow, and decoded once into a memory-mapped cache. Everything is
    verified before anything is written; an interrupted import leaves no data
    set behind; importing the same source again does nothing.

    Known by name, from the files that were published: cifar10 and cifar100
    (the binary or the python archive), mnist, fashion_mnist, kmnist and
    emnist_balanced, emnist_byclass, emnist_bymerge, emnist_digits,
    emnist_letters, emnist_mnist (their four idx files), svhn (the two .mat
    files). cifar10's archive must have the official checksum; where others
    differ from what was published, it is told and kept with the data set.

    Any other name takes your own data: image files as train/CLASS/IMAGE and
    test/CLASS/IMAGE, or as CLASS/IMAGE with --test-fraction, in a folder, a
    zip or a tar (.gz, .xz, .bz2, .zst); a folder with a labels.csv; an npz file
    or a folder of npy files (x_train, y_train, x_test, y_test); idx files.
    PNG, JPEG, GIF, BMP, TIFF and WebP are read. docs/data.md has the rules.

    Examples:

      imctrain data import cifar10

      imctrain data import mnist ~/Downloads/mnist

      imctrain data import leaves ~/leaves.zip --test-fraction 0.2 --size 32x32

      imctrain data import mine arrays.npz --data-dir /scratch/datasets
    """
    from imctrain.data.importing import import_dataset
    from imctrain.data.loading import load
    from imctrain.data.reading.bounds import Bounds
    from imctrain.data.request import Options

    options = Options.parse(
        mode=mode,
        size=size,
        fit=fit,
        background=background,
        test_fraction=test_fraction,
        seed=seed,
        skip_bad=skip_bad,
        follow_links=follow_links,
    )
    given = {"pixels": max_pixels, "files": max_files, "bytes": max_bytes, "ratio": max_ratio}
    bounds = Bounds(**{key: bound for key, bound in given.items() if bound is not None})
    notes: list[str] = []
    with stages() as progress:
        prepared, written = import_dataset(
            name,
            path,
            data_dir=data_dir,
            replace=replace,
            options=options,
            bounds=bounds,
            progress=progress,
            tell=notes.append,
        )
        dataset = load(name, data_dir, progress=progress)
    height, width, channels = dataset.shape
    what = "imported" if written else "was already imported"
    given_validation = "" if dataset.validation is None else f", {len(dataset.validation)} validation"
    typer.echo(
        f"{name} {what}: {len(dataset.train)} training{given_validation} and {len(dataset.test)} test images of "
        f"{height}x{width}x{channels}, {len(dataset.classes)} classes, in {prepared.path}"
    )
    _print_counts(dataset)
    for note in notes:
        typer.echo(f"note: {note}")
    if prepared.source.lossy:
        typer.echo(f"note: {prepared.source.file} holds lossy (JPEG) copies; results trained on it say so")


def _print_counts(dataset: Dataset) -> None:
    """Images of every class in every split; of many classes, the fewest and the most."""
    from imctrain.data.counts import counts_table

    header, rows = counts_table(dataset)
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        typer.echo("  " + "  ".join(cells).rstrip())

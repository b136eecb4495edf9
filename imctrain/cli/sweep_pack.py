"""`imctrain sweep pack` and `unpack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The sweep's folder.", show_default=False)]


def pack(folder: Folder) -> None:
    """Put the finished trials of a sweep into one file, DIR/trials.tar.xz.

    Reports, claims and further trials read it as if it were not packed. It takes
    about a fiftieth of the room, for a repository or a mail. Pictures of single
    trials (drawn again by `imctrain report`) and checkpoints are left out.

    Example: `imctrain sweep pack runs/noise`
    """
    from imctrain.records import packed

    target, count = packed.pack(folder)
    typer.echo(f"{count} trials packed into {target}, {target.stat().st_size / 1024:.0f} KiB")


def unpack(folder: Folder) -> None:
    """Put packed trials back into folders of their own.

    Example: `imctrain sweep unpack runs/noise`
    """
    from imctrain.records import packed
    from imctrain.records.layout import SweepFiles

    typer.echo(f"{packed.unpack(folder)} trials unpacked in {SweepFiles(folder).trials}")

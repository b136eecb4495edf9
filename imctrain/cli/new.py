"""`imctrain new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project; made where it is not there.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite files of the project that are there.")] = False,
) -> None:
    """Write a commented project to start from: a config, your network and optimizer, a chip.

    It trains at once, on handwritten digits that come with scikit-learn.

    config.toml names the rest; model.py holds the network and the optimizer;
    make_data.py prepares images of your own; chip.json is the calibration to
    put yours in the place of. Nothing that is there is overwritten without
    `--force`.

    Example: `imctrain new mine`, then `imctrain run -c mine/config.toml`
    """
    from imctrain.starting import write_project

    files = write_project(path, force=force)
    for file in files:
        typer.echo(f"written: {file}")
    (config,) = (file for file in files if file.suffix == ".toml")
    typer.echo(f"train it with: imctrain run -c {config}")

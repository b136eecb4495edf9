"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def find_experiment(given: Path | None) -> Path | None:
    """The file of a config that is given as a file, or by the name of a shipped one. Raises UserError."""
    if given is None:
        return None
    from imctrain.settings.shipped import find_config

    return find_config(given)


CONFIG = typer.Option(
    "--config",
    "-c",
    metavar="FILE",
    help="Experiment (TOML), or a shipped one's name (`imctrain run --list`).",
    show_default=False,
    callback=find_experiment,
)
ConfigFile = Annotated[Path, CONFIG]
OptionalConfigFile = Annotated[Path | None, CONFIG]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the config, such as training.epochs=5; may be repeated.",
        show_default=False,
    ),
]
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
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]

"""Options that several commands share, and what every command that computes does first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="Experiment (TOML).", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the config, such as training.epochs=5; may be repeated.",
        show_default=False,
    ),
]

CACHE_VARIABLE = "IMCTRAIN_CACHE_DIR"


def prepare_jax() -> None:
    """Import jax with the persistent compilation cache on, for everything that compiles.

    The cache lies in $IMCTRAIN_CACHE_DIR, else ~/.cache/imctrain/xla; IMCTRAIN_CACHE_DIR=off turns it off.
    """
    import jax

    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen == "off":
        return
    cache = os.environ.get("XDG_CACHE_HOME")
    default = (Path(cache) if cache else Path.home() / ".cache") / "imctrain" / "xla"
    jax.config.update("jax_compilation_cache_dir", chosen or str(default))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

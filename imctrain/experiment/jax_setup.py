"""What every command that computes does first: jax with its compilation cache."""

from __future__ import annotations

import os
from pathlib import Path

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

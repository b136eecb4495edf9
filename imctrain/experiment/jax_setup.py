"""What every command that computes does first: jax with its compilation cache."""

from __future__ import annotations

import os
from pathlib import Path

from imctrain.errors import UserError
from imctrain.experiment.compile_cache import heal
from imctrain.paths import cache_folder

CACHE_VARIABLE = "IMCTRAIN_CACHE_DIR"
PLATFORMS_VARIABLE = "JAX_PLATFORMS"


def prepare_jax() -> None:
    """Import jax with the persistent compilation cache on, for everything that compiles.

    The cache lies in $IMCTRAIN_CACHE_DIR, else ~/.cache/imctrain/xla; IMCTRAIN_CACHE_DIR=off turns it off.

    Raises UserError where JAX_PLATFORMS asks for devices that are not here.
    """
    import jax

    _require_devices()
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen == "off":
        return
    cache = Path(chosen) if chosen else cache_folder("xla")
    heal(cache)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _require_devices() -> None:
    """Where a platform is asked for, it must be there: jax tells it with an assertion, or in many lines."""
    asked = os.environ.get(PLATFORMS_VARIABLE, "")
    # The CPU always is; and no device is taken that nobody asked for.
    if asked in ("", "cpu"):
        return
    import jax

    try:
        jax.local_devices()
    except (AssertionError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        missing = "no GPU" if set(asked.split(",")) & {"cuda", "gpu", "rocm"} else "no such device"
        raise UserError(
            f"{PLATFORMS_VARIABLE}={asked}: jax finds {missing} here{f' ({reason})' if reason else ''}: unset "
            f"{PLATFORMS_VARIABLE}, or install jax for that device"
        ) from None

"""imctrain: train neural networks in JAX on a simulated in-memory-computing array."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imctrain.api import Export as Export
    from imctrain.api import Run as Run
    from imctrain.api import load_config as load_config
    from imctrain.api import load_export as load_export
    from imctrain.api import load_results as load_results
    from imctrain.api import load_run as load_run
    from imctrain.api import train as train
    from imctrain.intercept import ImcFunction as ImcFunction
    from imctrain.intercept import Rule as Rule
    from imctrain.intercept import on_imc as on_imc
    from imctrain.settings import Config as Config
    from imctrain.settings import Hardware as Hardware
    from imctrain.tracking import Callback as Callback

__version__ = "0.1.0"

# Resolved on first use: importing the package must not import jax, or `imctrain --help` would be slow.
_HOMES = {
    "Callback": "imctrain.tracking",
    "Config": "imctrain.settings",
    "Export": "imctrain.api",
    "Hardware": "imctrain.settings",
    "ImcFunction": "imctrain.intercept",
    "Rule": "imctrain.intercept",
    "Run": "imctrain.api",
    "load_config": "imctrain.api",
    "load_export": "imctrain.api",
    "load_results": "imctrain.api",
    "load_run": "imctrain.api",
    "on_imc": "imctrain.intercept",
    "train": "imctrain.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

"""Two checkouts of imctrain beside each other: the environment of a process that runs the one or the other."""

from __future__ import annotations

import os
from pathlib import Path


def environment(checkout: Path, **more: str) -> dict[str, str]:
    """The environment in which `import imctrain` finds that checkout, with `more` variables."""
    return os.environ | {"PYTHONPATH": str(checkout.resolve())} | more


def require(checkout: Path) -> Path:
    """The checkout as an absolute path. Ends the program where there is none: another imctrain would be imported."""
    if not (checkout / "imctrain" / "__init__.py").is_file():
        raise SystemExit(f"{checkout} is no checkout of imctrain: it has no imctrain/__init__.py")
    return checkout.resolve()

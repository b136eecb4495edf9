"""A project to start from: what `imctrain new` writes. The files lie in project/, as they are written."""

from __future__ import annotations

from pathlib import Path

from imctrain.calibration import load_calibration
from imctrain.errors import UserError
from imctrain.files import write_text

HOME = Path(__file__).parent / "project"
CALIBRATION = "feasible-assumed"
"""Shipped, that the project's chip starts as."""
CHIP = "chip.json"


def write_project(folder: Path, *, force: bool = False) -> list[Path]:
    """Write the project into a folder; returns its files.

    Raises UserError, before anything is written, where one of them is there (unless `force`), or the folder cannot be
    written.
    """
    # Text files with another suffix: neither a tool nor an import may take them for code of the package.
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(HOME.glob("*.txt"))}
    texts[CHIP] = load_calibration(CALIBRATION).model_dump_json(indent=1, exclude_none=True) + "\n"
    there = [name for name in texts if (folder / name).exists()]
    if there and not force:
        raise UserError(f"{folder} has {', '.join(there)}: choose another folder, or overwrite them with --force")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_text(folder / name, text)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}): choose another folder") from None
    return [folder / name for name in texts]

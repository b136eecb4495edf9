"""Where prepared data sets live.

    $IMCTRAIN_DATA_DIR, else ${XDG_CACHE_HOME:-~/.cache}/imctrain/datasets
        NAME/[CONFIG/]VERSION/          records in TFDS's own layout (ArrayRecord)
        .decoded/NAME-VERSION-HASH/     memory-mapped cache of a record folder; safe to delete

Data sets that TFDS prepared in its own default folder ($TFDS_DATA_DIR, else ~/tensorflow_datasets) are found too.
"""

from __future__ import annotations

import os
from pathlib import Path

from imctrain.errors import UserError
from imctrain.paths import cache_folder, given_path

VARIABLE = "IMCTRAIN_DATA_DIR"


def default_data_dir() -> Path:
    """The folder that data sets are imported to when none is given."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return given_path(chosen)
    return cache_folder("datasets")


def resolve_data_dir(data_dir: str | Path | None) -> Path:
    """`data_dir` as given, or the default; a file in its place is a `UserError`."""
    folder = default_data_dir() if data_dir is None else given_path(data_dir)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"data directory {folder} is a file: give a folder with --data-dir or ${VARIABLE}")
    return folder


def search_dirs(data_dir: str | Path | None) -> list[Path]:
    """Folders to look for a prepared data set in, in order: one if it was given, else the default and TFDS's."""
    if data_dir is not None:
        return [resolve_data_dir(data_dir)]
    folders = [resolve_data_dir(None)]
    try:
        tfds = given_path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    except UserError:  # no home: TFDS has no folder there
        return folders
    if tfds.is_dir() and tfds.resolve() != folders[0].resolve():
        folders.append(tfds)
    return folders

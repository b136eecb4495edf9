"""Paths as users and systems give them: `~`, names that no file can have, and caches where there is no home."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from imctrain.errors import UserError

NAMES_NOTHING = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
"""Errors of a name that no file can have."""


def given_path(text: str | Path) -> Path:
    """With `~` for the home folder. Raises UserError where nobody knows that home."""
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        raise UserError(f"{path}: there is no home folder of {path.parts[0]}: give the path in full") from None


def is_file(path: Path) -> bool:
    """`Path.is_file`, which is an error where the name is too long or leads in circles: no file has that name."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno in NAMES_NOTHING:
            return False
        raise


def is_folder(path: Path) -> bool:
    """As `is_file`, for folders."""
    try:
        return path.is_dir()
    except OSError as error:
        if error.errno in NAMES_NOTHING:
            return False
        raise


def cache_folder(name: str) -> Path:
    """Of imctrain's caches, $XDG_CACHE_HOME/imctrain/NAME or ~/.cache/imctrain/NAME.

    An account without a home (a service, a container) has them among the temporary files. Raises UserError where that
    folder is another user's.
    """
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return Path(chosen) / "imctrain" / name
    try:
        return Path.home() / ".cache" / "imctrain" / name
    except RuntimeError:
        return _own_temporary() / name


def _own_temporary() -> Path:
    own = os.getuid()
    folder = Path(tempfile.gettempdir()) / f"imctrain-{own}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != own:
        raise UserError(f"there is no home folder, and {folder} is another user's: set HOME or XDG_CACHE_HOME")
    return folder

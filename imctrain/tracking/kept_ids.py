"""RUN/tracking.json: which run of a tracker a folder is, so that a resumed run goes on with it."""

from __future__ import annotations

from pathlib import Path

from imctrain.errors import UserError
from imctrain.files import write_json
from imctrain.reading import read_json


def kept_id(path: Path, tracker: str) -> str | None:
    """The id that `keep_id` wrote, or None."""
    found = _ids(path).get(tracker)
    return found if isinstance(found, str) else None


def keep_id(path: Path, tracker: str, identity: str) -> None:
    write_json(path, _ids(path) | {tracker: identity})


def _ids(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        found = read_json(path)
    except UserError:  # a damaged file costs a second run in the tracker, and no training
        return {}
    return found if isinstance(found, dict) else {}

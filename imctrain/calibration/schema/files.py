"""Where calibration files lie, and how they are read and written."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from pydantic import ValidationError

from imctrain.calibration.schema.calibration import Calibration
from imctrain.calibration.schema.consistency import refuse_inconsistent
from imctrain.errors import UserError
from imctrain.files import replacing, shipped
from imctrain.paths import given_path, is_file, is_folder
from imctrain.reading import Unreadable, parse_json, read_text

SCHEMA_MAJOR = 1


def shipped_folder() -> Path:
    """Where the calibrations that come with the project lie: in the wheel, or in the checkout."""
    return shipped("calibration")


def shipped_names() -> list[str]:
    """Of the calibrations that come with the project, sorted."""
    return sorted(path.stem for path in shipped_folder().glob("*.json"))


def find_calibration(name_or_path: str, relative_to: Path | None = None) -> Path:
    """The file of a shipped name, or a path relative to `relative_to` (a config's folder) or the current folder."""
    given = given_path(name_or_path)
    candidates = [given] if relative_to is None else [relative_to / given, given]
    if given.suffix == "" and len(given.parts) == 1:
        candidates.append(shipped_folder() / f"{name_or_path}.json")
    for candidate in candidates:
        if is_file(candidate):
            return candidate
    if is_folder(candidates[0]):
        raise UserError(f"calibration {name_or_path!r} is a folder: give a calibration JSON in it")
    raise UserError(
        f"calibration {name_or_path!r} not found: give the path of a calibration JSON or one of the shipped "
        f"{', '.join(shipped_names())}"
    )


def load_calibration(name_or_path: str, relative_to: Path | None = None) -> Calibration:
    """Read and validate a calibration. Raises UserError with one line on what is wrong."""
    path = find_calibration(name_or_path, relative_to)
    try:
        text = read_text(path)
        data = parse_json(text, str(path))
    except Unreadable as error:
        raise UserError(f"calibration {error}: give a calibration, as in its README") from None
    _refuse_twice(text, str(path))
    return parse_calibration(data, str(path))


def _refuse_twice(text: str, where: str) -> None:
    """Raises UserError for a key that stands twice in one object, of which a JSON reader takes the last silently."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        counts = Counter(key for key, _ in pairs)
        twice = next((key for key, count in counts.items() if count > 1), None)
        if twice is not None:
            raise UserError(f"calibration {where}: the key {twice!r} stands twice in one object: delete one of the two")
        return dict(pairs)

    json.loads(text, object_pairs_hook=once)


def parse_calibration(data: object, where: str) -> Calibration:
    """Validate the content of a calibration file; `where` names it in errors.

    Raises:
        UserError: the content is no calibration, or no chip has its figures (`consistency`), in one line.
    """
    if not isinstance(data, dict):
        raise UserError(f"calibration {where}: the file holds no JSON object: give a calibration, as in its README")
    version = data.get("schema_version")
    match = re.fullmatch(r"(\d+)\.\d+", version) if isinstance(version, str) else None
    if match is None:
        raise UserError(
            f'calibration {where}: schema_version is {version!r}, a calibration has "{SCHEMA_MAJOR}.0": is this '
            "another kind of file?"
        )
    if int(match[1]) != SCHEMA_MAJOR:
        raise UserError(
            f"calibration {where}: schema_version {version} is not supported, this version reads {SCHEMA_MAJOR}.x: "
            "fit it again with `imctrain calibrate`, or update imctrain"
        )
    try:
        calibration = Calibration.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        raise UserError(f"calibration {where}: {key}: {first['msg'].removeprefix('Value error, ')}") from None
    refuse_inconsistent(calibration, f"calibration {where}")
    return calibration


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration; the file is complete or not there at all."""
    with replacing(path) as temporary:
        temporary.write_text(calibration.model_dump_json(indent=1) + "\n", encoding="utf-8")

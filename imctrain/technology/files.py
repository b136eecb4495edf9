"""Where technology files lie, and how they are read."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import ValidationError

from imctrain.errors import UserError, quoted
from imctrain.files import shipped
from imctrain.paths import given_path, is_file
from imctrain.reading import Unreadable, read_json
from imctrain.technology.schema.figure import Figure
from imctrain.technology.schema.technology import Technology

SCHEMA_MAJOR = 1


def shipped_folder() -> Path:
    """Where the technologies that come with the project lie: beside the calibrations."""
    return shipped("calibration") / "technology"


def shipped_names() -> list[str]:
    """Of the technologies that come with the project, sorted."""
    return sorted(path.stem for path in shipped_folder().glob("*.json"))


def find_technology(name_or_path: str, relative_to: Path | None = None) -> Path:
    """The file of a shipped name, or a path relative to `relative_to` (a config's folder) or the current folder."""
    given = given_path(name_or_path)
    candidates = [given] if relative_to is None else [relative_to / given, given]
    if "/" not in name_or_path and given.suffix != ".json":
        candidates.append(shipped_folder() / f"{name_or_path}.json")
    for candidate in candidates:
        if is_file(candidate):
            return candidate
    raise UserError(
        f"technology {name_or_path!r} not found: give the path of a technology JSON or one of the shipped "
        f"{', '.join(shipped_names())}"
    )


def load_technology(name_or_path: str, relative_to: Path | None = None) -> Technology:
    """Read and check a technology; what it leaves out is filled from its base.

    Raises:
        UserError: no such file, not a technology, or a figure is missing, in one line.
    """
    path = find_technology(name_or_path, relative_to)
    own = _validated(_read(path), str(path))
    return _complete(_with_base(own, str(path), path.parent, (path.resolve(),)), str(path))


def parse_technology(data: object, where: str, relative_to: Path | None = None) -> Technology:
    """Check the content of a technology file; `where` names it in errors, its base lies at `relative_to`.

    Raises:
        UserError: the content is no technology, or a figure is missing, in one line.
    """
    return _complete(_with_base(_validated(data, where), where, relative_to), where)


def _read(path: Path) -> object:
    try:
        return read_json(path)
    except Unreadable as error:
        raise UserError(f"technology {error}: give a technology, as in docs/technology.md") from None


def _validated(data: object, where: str) -> Technology:
    if not isinstance(data, dict):
        raise UserError(
            f"technology {where}: the file holds no JSON object: give a technology, as in docs/technology.md"
        )
    version = data.get("schema_version")
    match = re.fullmatch(r"(\d+)\.\d+", version) if isinstance(version, str) else None
    if match is None or int(match[1]) != SCHEMA_MAJOR:
        raise UserError(
            f'technology {where}: schema_version is {version!r}, this version reads "{SCHEMA_MAJOR}.x": is this '
            "another kind of file?"
        )
    if "noise" in data:
        raise UserError(f"technology {where}: this is a calibration: a technology says what operations cost")
    try:
        return Technology.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        what = first["msg"].removeprefix("Value error, ")
        if first["type"] in ("extra_forbidden", "literal_error", "greater_than_equal", "finite_number"):
            what = f"{what}, found {quoted(first['input'])}" if first["type"] != "extra_forbidden" else "no such key"
        raise UserError(f"technology {where}: {key}: {what}") from None


def _with_base(own: Technology, where: str, relative_to: Path | None, seen: tuple[Path, ...] = ()) -> Technology:
    if own.base is None:
        return own
    path = find_technology(own.base, relative_to).resolve()
    if path in seen:
        raise UserError(f"technology {where}: base {own.base!r} leads back to itself: name a base that stands alone")
    base = _with_base(_validated(_read(path), str(path)), str(path), path.parent, (*seen, path))
    filled = {}
    for section in ("energy", "time", "area"):
        part, other = getattr(own, section), getattr(base, section)
        missing = {
            name: _at_home(getattr(other, name), base)
            for name in type(part).model_fields
            if getattr(part, name) is None and getattr(other, name) is not None
        }
        filled[section] = part.model_copy(update=missing)
    return own.model_copy(update=filled)


def _at_home(figure: Figure, base: Technology) -> Figure:
    """A figure that says itself which node and supply it is of, so that it is scaled from there."""
    if figure.law is not None:
        return figure
    home: dict[str, float] = {} if figure.node_nm is not None else {"node_nm": base.node_nm}
    if figure.value is not None and figure.supply_v is None:
        home["supply_v"] = base.supply_v
    return figure.model_copy(update=home)


def _complete(technology: Technology, where: str) -> Technology:
    missing = [key for key, figure in technology.figures() if figure is None]
    if missing:
        more = "" if len(missing) == 1 else f" (and {len(missing) - 1} more)"
        raise UserError(
            f'technology {where}: {missing[0]} is missing{more}: give the figure, or name a base that has it ("base": '
            '"laws-28nm")'
        )
    return technology

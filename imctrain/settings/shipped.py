"""Experiments that come with the project, by name: `quickstart`, `cifar10/cnn5-exact`. Sweeps are not among them."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from imctrain.errors import UserError
from imctrain.files import shipped
from imctrain.paths import is_file

SUFFIX = ".toml"


def shipped_configs() -> dict[str, Path]:
    """Files by name, sorted: the path below experiments/ without its suffix."""
    home = shipped("experiments")
    found = (path for path in home.rglob(f"*{SUFFIX}") if not path.name.endswith(f".sweep{SUFFIX}"))
    inside = ((path.relative_to(home), path) for path in found)
    named = {place.with_suffix("").as_posix(): path for place, path in inside if "results" not in place.parts}
    return dict(sorted(named.items()))


def about(path: Path) -> str:
    """What an experiment is: the first sentence of the comment that its file begins with."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return re.split(r"(?<=[.:]) ", " ".join(lines), maxsplit=1)[0].rstrip(".:")


def find_config(given: Path) -> Path:
    """The file that is meant: `given` where it is one, else `given`.toml in its place, else the shipped one so called.

    So a file of the user wins over a shipped one. What is written as a file is returned as it is, there or not. Raises
    UserError for a name that is none of them.
    """
    if given.suffix == SUFFIX:
        return given
    beside = given.with_name(f"{given.name}{SUFFIX}") if given.name else given
    for candidate in (given, beside):
        if is_file(candidate):
            return candidate
    known = shipped_configs()
    if given.as_posix() in known:
        return known[given.as_posix()]
    near = difflib.get_close_matches(given.as_posix(), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(
        f"config {given}: cannot be read (there is no such file, and no shipped experiment of that name{hint}): give "
        "an experiment's TOML file, or a name of `imctrain run --list`"
    )

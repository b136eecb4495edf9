"""A result that cannot be read is no result: it is set aside, and its training goes on from what it had saved."""

from __future__ import annotations

import os
from pathlib import Path

from imctrain.errors import UserError
from imctrain.records.layout import RunFiles
from imctrain.records.result import Result


def set_aside_damaged_result(run: RunFiles) -> str:
    """Rename a run's result.json that is there and cannot be read. A line about it for people; "" where it is well."""
    if not run.is_finished:
        return ""
    try:
        Result.read(run.result)
    except UserError as error:
        aside = _unused(run.result.with_name("result.json.damaged"))
        os.replace(run.result, aside)
        return f"{error}: set aside as {aside.name}, and the training goes on from its last checkpoint"
    return ""


def _unused(path: Path) -> Path:
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found

"""What took long to draw of a sweep, kept beside it until something that it is drawn from changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources

import imctrain
from imctrain.errors import UserError
from imctrain.files import JsonValue, write_json
from imctrain.reading import Unreadable, read_json
from imctrain.records.layout import SweepFiles
from imctrain.records.runs import RunRecord
from imctrain.records.sweeps import Sweep

Pictures = dict[str, JsonValue]


def kept_pictures(
    sweep: Sweep, trials: Sequence[RunRecord], marks: Sequence[str], make: Callable[[], Pictures]
) -> Pictures:
    """What `make` gives, or gave when trials and marks were the same.

    Args:
        marks: what else it depends on, in words: a title, a technology.
    """
    if sweep.folder is None:
        return make()
    file = SweepFiles(sweep.folder).page_pictures(hashlib.sha256(sweep.name.encode()).hexdigest()[:16])
    key = _key(trials, marks)
    try:
        found = read_json(file) if file.is_file() else None
    except (Unreadable, UserError):
        found = None
    if isinstance(found, dict) and found.get("key") == key and isinstance(found.get("pictures"), dict):
        pictures: Pictures = found["pictures"]
        return pictures
    made = make()
    # A folder that may not be written costs time alone.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"key": key, "pictures": made})
    return made


def _key(trials: Sequence[RunRecord], marks: Sequence[str]) -> str:
    """Of all that the pictures show, and of the code that draws them."""
    content = [
        [trial.folder.name, trial.config, trial.labels, trial.result and trial.result.plain(), trial.error]
        for trial in trials
    ]
    text = json.dumps([imctrain.__version__, _code(), list(marks), content], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _code() -> str:
    digest = hashlib.sha256()
    for file in sorted(resources.files("imctrain.report").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()

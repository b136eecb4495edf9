"""metrics.jsonl: one JSON object a line, appended as training goes; callbacks are told the same."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from imctrain.files import naming, write_text
from imctrain.records.metrics import read_rows
from imctrain.tracking import Callbacks
from imctrain.training.stored import JsonObject


class MetricsLog:
    """Appends metrics of a run to a file, and then tells callbacks.

    Args:
        path: of the JSON Lines file.
    """

    def __init__(self, path: Path, callbacks: Callbacks | None = None):
        self.path = path
        self._stream = path.open("a", encoding="utf-8")
        self._callbacks = Callbacks() if callbacks is None else callbacks

    def write(self, record: JsonObject) -> None:
        """Append one record ("kind", "step", "epoch" and values); numbers that are not finite become null."""
        with naming(self.path):
            self._stream.write(json.dumps(_clean(record)) + "\n")
            self._stream.flush()
        self._callbacks.line(record)

    def close(self) -> None:
        """Make what was written durable."""
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        finally:
            self._stream.close()


def read_metrics(path: Path) -> list[JsonObject]:
    """Records of a metrics file; a last line that was cut off is left out."""
    return list(read_rows(path))


def truncate_metrics(path: Path, step: int, epochs: int) -> None:
    """Keep the records up to `step` steps and `epochs` finished epochs, so that resumed training repeats none."""
    kept = [
        record
        for record in read_metrics(path)
        if _upto(record, "step", step) and (record.get("kind") != "epoch" or _upto(record, "epoch", epochs))
    ]
    write_text(path, "".join(json.dumps(record) + "\n" for record in kept))


def _upto(record: JsonObject, key: str, last: int) -> bool:
    """A line that was damaged goes, as one that was cut off does."""
    number = record.get(key)
    return isinstance(number, int) and number <= last


def _clean(value: object) -> object:
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

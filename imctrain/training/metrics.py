"""metrics.jsonl: one JSON object a line, appended as training goes; TensorBoard events beside it."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from imctrain.files import naming, write_text
from imctrain.records.metrics import read_rows
from imctrain.training.events import Events
from imctrain.training.stored import JsonObject


class MetricsLog:
    """Appends metrics of a run to a file, and to TensorBoard events where tensorboardX is installed.

    Args:
        path: of the JSON Lines file. tensorboard: folder of the events; None for no events.
        step: steps taken so far; TensorBoard forgets what an earlier process logged after them.
    """

    def __init__(self, path: Path, *, tensorboard: Path | None = None, step: int = 0):
        self.path = path
        self._stream = path.open("a", encoding="utf-8")
        self._events = None if tensorboard is None else Events.open(tensorboard, step)

    def write(self, record: JsonObject) -> None:
        """Append one record ("kind", "step", "epoch" and values); numbers that are not finite become null."""
        with naming(self.path):
            self._stream.write(json.dumps(_clean(record)) + "\n")
            self._stream.flush()
        if self._events is not None:
            finite = {key: x for key, x in record.items() if isinstance(x, float) and math.isfinite(x)}
            self._events.scalars({f"{record['kind']}/{key}": x for key, x in finite.items()}, record["step"])

    def close(self) -> None:
        """Make what was written durable."""
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        finally:
            self._stream.close()
            if self._events is not None:
                self._events.close()


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

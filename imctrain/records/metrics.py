"""metrics.jsonl: a line every few steps and one an epoch, appended as a training goes.

A run that was killed may have left half a line at the end: readers take the lines before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from imctrain.errors import UserError
from imctrain.files import JsonValue
from imctrain.reading import Unreadable, parse_json, read_text
from imctrain.records.base import Amount, Count, Kept, Share

TAIL_BYTES = 65536
"""The end of a file that `read_tail` takes: some hundred lines."""


class TrainLine(Kept):
    """Means since the last such line, and the reports of the newest step. A number that was not finite is null."""

    kind: Literal["train"] = "train"
    step: Count
    """Steps taken."""
    epoch: Count
    """That the step is in, from 1."""
    loss: float | None
    accuracy: Share
    """Of the training images, as seen; a fraction."""
    gradient_norm: float | None
    images_per_second: float | None = None
    """Missing where all of the time was compilation."""
    clipped: float | None = None
    """Fraction of the conversions; missing where nothing was converted."""
    worst_snr_db: float | None = None
    warning: str | None = None
    """Told at this line; missing where nothing was."""
    sites: dict[str, float | None] = Field(default_factory=dict)
    """{"SITE:QUANTITY": value}, such as "conv1:snr_db_forward"."""


class EpochLine(Kept):
    """Means of an epoch. A number that was not finite is null."""

    kind: Literal["epoch"] = "epoch"
    step: Count
    epoch: Annotated[Count, Field(ge=1)]
    """Finished ones, this one included."""
    loss: float | None
    accuracy: Share
    test_accuracy: Share | None = None
    """Missing where the epoch was not evaluated, and so is `test_loss`."""
    test_loss: float | None = None
    validation_accuracy: Share | None = None
    """Of the held-out images, where there are any: then nothing of the test images is here."""
    validation_loss: float | None = None
    clipped: float | None = None
    seconds: Amount
    """Of its training and evaluation, compilation left out."""

    @property
    def evaluated(self) -> float | None:
        """Accuracy on the held-out images, or on the test images where none were held out; None without either."""
        return self.test_accuracy if self.validation_accuracy is None else self.validation_accuracy


Line = TrainLine | EpochLine
KINDS = ("train", "epoch")
Row = dict[str, JsonValue]
"""A line as its JSON has it."""
_LINE: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])


def read_rows(path: Path) -> list[Row]:
    """Lines of a file as JSON, up to a line that was cut off; none without a file. Raises UserError for no text."""
    rows: list[Row] = []
    if path.is_file():
        for text in read_text(path).splitlines():
            row = _row(text)
            if row is None:
                break
            rows.append(row)
    return rows


def read_lines(path: Path) -> list[Line]:
    """Lines of a file, up to one that was cut off; none without a file.

    Raises UserError for a line that lacks what its kind has.
    """
    try:
        return _lines(read_rows(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} holds no metrics of a run ({key}: {first['msg']}): restore it") from None


def read_tail(path: Path) -> list[Line]:
    """Whole lines at the end of a file that may be growing; none without a file."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - TAIL_BYTES))
            texts = stream.read().decode("utf-8", errors="replace").splitlines()
        return _lines(row for text in texts if (row := _row(text)) is not None)
    except (OSError, ValidationError):
        return []


def train_lines(lines: Iterable[Line]) -> list[TrainLine]:
    return [line for line in lines if isinstance(line, TrainLine)]


def epoch_lines(lines: Iterable[Line]) -> list[EpochLine]:
    return [line for line in lines if isinstance(line, EpochLine)]


def _lines(rows: Iterable[Row]) -> list[Line]:
    # A later version may write lines of other kinds beside these.
    return [_LINE.validate_python(row) for row in rows if row.get("kind") in KINDS]


def _row(text: str) -> Row | None:
    try:
        row = parse_json(text, "a line")
    except Unreadable:
        return None
    return row if isinstance(row, dict) else None

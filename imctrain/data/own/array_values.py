"""Arrays as 8-bit images and class indices, by the rules of docs/data.md; what is ambiguous is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imctrain.data.dataset import Images, Labels
from imctrain.data.own.array_files import ArrayFile
from imctrain.data.reading.names import shown
from imctrain.data.request import Tell
from imctrain.errors import UserError

_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Axes:
    """How an array's dimensions are images'.

    Attributes:
        height, width, channels: of an image. first: channels come before height and width.
    """

    height: int
    width: int
    channels: int
    first: bool = False

    def images(self, rows: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """[k, height, width, channels] of a block of rows."""
        if self.first:
            return rows.transpose(0, 2, 3, 1)
        return rows.reshape(len(rows), self.height, self.width, self.channels)


def axes_of(array: ArrayFile, count: int) -> Axes:
    """The dimensions of an array of `count` images.

    Raises:
        UserError: none of [n, h, w], [n, h, w, c] and [n, c, h, w] with 1 or 3 channels, or two of them.
    """
    shape = array.shape
    if not shape or shape[0] != count:
        hint = "; the images are along the last dimension: transpose it" if shape and shape[-1] == count else ""
        raise UserError(f"{array.where} has shape {shape}, but there are {count} labels: as many are needed{hint}")
    if 0 in shape:
        raise UserError(f"{array.where} has shape {shape}: there are no images in it")
    if len(shape) == 3:
        return Axes(shape[1], shape[2], 1)
    if len(shape) == 4:
        last, first = shape[3] in _CHANNELS, shape[1] in _CHANNELS
        if last and first and shape[1:] != (1, 1, 1):
            raise UserError(
                f"{array.where} has shape {shape}, where channels may come first or last: reshape it to [n, h, w, c] "
                "of other sizes, or give image files"
            )
        if last:
            return Axes(*shape[1:])
        if first:
            return Axes(shape[2], shape[3], shape[1], first=True)
    side = math.isqrt(shape[1]) if len(shape) == 2 else 0
    example = f" ([n, {side}, {side}], say)" if side and side * side == shape[1] else ""
    raise UserError(
        f"{array.where} has shape {shape}: images are [n, h, w], [n, h, w, c] or [n, c, h, w] with 1 or 3 channels; "
        f"reshape it{example}"
    )


@dataclass(frozen=True)
class Scale:
    """How values become 0 to 255: `round(value * factor)`, and what is told of it."""

    factor: float
    note: str = ""

    def pixels(self, values: npt.NDArray[np.generic]) -> Images:
        """uint8, of values within the range that the scale was made from."""
        if values.dtype == np.uint8 and self.factor == 1:
            return values.view(np.uint8)
        return np.floor(values.astype(np.float64) * self.factor + 0.5).astype(np.uint8)


def scale_of(arrays: Sequence[ArrayFile]) -> Scale:
    """The scale of all images of a data set, from their type and, where that does not say it, from their range.

    Raises:
        UserError: values that are neither 0 to 1, nor 0 to 255, nor 16 bits.
    """
    kinds = {array.dtype.kind for array in arrays}
    if kinds - set("biuf"):
        raise UserError(f"{arrays[0].where} has values of type {arrays[0].dtype}: images are numbers")
    if len(kinds) > 1 and kinds != {"i", "u"}:
        raise UserError(f"{arrays[0].where} and {arrays[-1].where} are of different types: write them alike")
    if all(array.dtype == np.uint8 for array in arrays):
        return Scale(1.0)
    if kinds == {"b"}:
        return Scale(255.0, "truth values became 0 and 255")
    low, high = _range(arrays)
    found = f"{arrays[0].where} and its siblings have values from {low:g} to {high:g}"
    if low < 0:
        raise UserError(f"{found}: images are 0 to 255, or 0 to 1 in floats; give them as they were before scaling")
    if kinds == {"f"} and high <= 1:
        return Scale(255.0, "floats from 0 to 1 became 0 to 255")
    if high <= 255:
        if kinds != {"f"} and high <= 1:
            raise UserError(
                f"{found} in whole numbers, which may be 0 to 1 or 0 to 255: write them as uint8 or as bool"
            )
        return Scale(1.0, f"values up to {high:g} of 255 were rounded to whole numbers" if kinds == {"f"} else "")
    if kinds != {"f"} and high <= 0xFFFF and all(array.dtype == np.uint16 for array in arrays):
        return Scale(1 / 257, f"16-bit values were brought to 8 bits; they reach {high:g} of 65535")
    raise UserError(f"{found}: images are 0 to 255, 0 to 1 in floats, or uint16; scale them")


def _range(arrays: Iterable[ArrayFile]) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    for array in arrays:
        for rows in array.rows():
            if rows.dtype.kind == "f" and not np.isfinite(rows).all():
                raise UserError(f"{array.where} has values that are not finite: images have none")
            low, high = min(low, float(rows.min())), max(high, float(rows.max()))
    return low, high


def labels_of(array: ArrayFile) -> tuple[list[str], npt.NDArray[np.intp]]:
    """Names of the labels that occur, and for each row which it is.

    Whole numbers, text, [n, 1], and one-hot rows are read.

    Raises:
        UserError: several labels an image, or numbers that are not whole.
    """
    values = array.whole()
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2:
        hot = values.astype(np.float64) if values.dtype.kind in "biuf" else np.zeros(values.shape)
        if not (np.isin(hot, (0, 1)).all() and (hot.sum(1) == 1).all()):
            raise UserError(
                f"{array.where} has shape {values.shape} and is not one-hot: a label is one class an image, [n]"
            )
        values = hot.argmax(1)
    if values.ndim != 1 or not len(values):
        raise UserError(f"{array.where} has shape {values.shape}: labels are [n], one class an image")
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and (values == np.rint(values)).all()):
            raise UserError(f"{array.where} has labels that are not whole numbers: a label is a class")
        values = values.astype(np.int64)
    found, which = np.unique(values, return_inverse=True)
    if values.dtype.kind == "S":
        return [bytes(name).decode("utf-8", "surrogateescape") for name in found], which.reshape(-1)
    return [str(name if values.dtype.kind == "U" else int(name)) for name in found], which.reshape(-1)


def named_classes(array: ArrayFile | None, found: Sequence[str], tell: Tell) -> dict[str, str]:
    """Names of the labels from an array of class names, where labels are its indices; else the labels are names."""
    if array is None:
        return {}
    values = array.whole()
    indices = [int(name) for name in found if name.isascii() and name.isdigit()]
    texts = values.ndim == 1 and values.dtype.kind in "US"
    if not texts or len(indices) < len(found) or max(indices) >= len(values):
        tell(f"{shown(array.name)} does not name the labels and is not used")
        return {}
    text = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values.tolist()]
    return {str(index): text[index].strip() for index in indices}


def as_labels(names: Sequence[str], which: npt.NDArray[np.intp], order: dict[str, int]) -> Labels:
    """int32 [n]: places in the order of the classes."""
    return np.array([order[name] for name in names], np.int32)[which]

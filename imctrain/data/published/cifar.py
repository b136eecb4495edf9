"""What CIFAR-10 and CIFAR-100 share: 32 x 32 colour images, in archives of binary records or of Python's pickles.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from imctrain.data.archive import open_files
from imctrain.data.dataset import Images, Labels
from imctrain.data.request import PLAIN, Request
from imctrain.errors import UserError

SIDE = 32
PIXEL_BYTES = 3 * SIDE * SIDE
_LARGEST = 512 << 20
"""Bytes of a file in the archives: the largest has 154 MB."""
_PICKLE_NAMES = {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


def folder_of(archive: Path, request: Request = PLAIN) -> str:
    """First part of the first member's name; empty for what is no archive."""
    try:
        files = open_files(archive, request.bounds)
    except UserError:
        return ""
    return next((entry.parts[0] for entry in files), "")


def read_members(
    path: Path, folder: str, wanted: set[str], request: Request, *, whole: bool, title: str
) -> dict[str, bytes]:
    """Content of the files of an archive's folder.

    Args:
        path: of the archive. folder: within it. wanted: names of the files. request: how it is read.
        whole: its checksum is right. title: of the data set.

    Raises:
        UserError: one is missing.
    """
    found: dict[str, bytes] = {}
    for entry in open_files(path, request.bounds, whole=whole):
        *above, name = entry.parts
        if entry.kind == "file" and above[-1:] == [folder] and name in wanted:
            found[name] = entry.content(_LARGEST)
            request.progress(f"reading {path.name}", len(found), len(wanted))
    missing = sorted(wanted - found.keys())
    if missing:
        raise UserError(
            f"{path} has no {folder}/{missing[0]}: it is not the official {title} archive; download it again"
        )
    return found


def lines(content: bytes) -> tuple[str, ...]:
    """The names in a text file, one a line."""
    return tuple(line.strip() for line in content.decode("ascii", "replace").splitlines() if line.strip())


def names(batch: Mapping[bytes, object], key: bytes) -> tuple[str, ...]:
    """The names in a pickled dictionary."""
    listed = batch.get(key)
    return tuple(
        name.decode("ascii", "replace")
        for name in (listed if isinstance(listed, list) else [])
        if isinstance(name, bytes)
    )


def binary_records(where: str, content: bytes, labels: int) -> tuple[Images, Labels]:
    """Images, and int32 [n, labels] of the bytes before each image's planes."""
    record = labels + PIXEL_BYTES
    if not content or len(content) % record:
        raise UserError(f"{where} has {len(content)} bytes, which is no whole number of {record}-byte records")
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return _planes_to_images(records[:, labels:]), records[:, :labels].astype(np.int32)


def pickled_batch(where: str, batch: Mapping[bytes, object], keys: tuple[bytes, ...]) -> tuple[Images, Labels]:
    """Images, and int32 [n, len(keys)] of the labels under each key."""
    pixels = batch.get(b"data")
    columns = [_whole_numbers(batch.get(key)) for key in keys]
    count = len(columns[0])
    right = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape == (count, PIXEL_BYTES)
    if not right or any(len(column) != count for column in columns):
        raise UserError(f"{where} does not hold uint8 data of {PIXEL_BYTES} bytes an image and as many labels")
    return _planes_to_images(cast(Images, pixels)), np.stack(columns, axis=1)


def _whole_numbers(found: object) -> npt.NDArray[np.int32]:
    numbers = found if isinstance(found, list) and all(isinstance(value, int) for value in found) else []
    if any(not -(2**31) <= value < 2**31 for value in numbers):
        return np.empty(0, np.int32)
    return np.array(numbers, np.int32)


def _planes_to_images(pixels: Images) -> Images:
    """[n, 3072] of colour planes, each row by row, to [n, 32, 32, 3]."""
    return np.ascontiguousarray(pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))


class _ArraysOnly(pickle.Unpickler):
    """Rebuilds numpy arrays and plain containers and refuses to import anything else."""

    def find_class(self, module: str, name: str) -> object:
        # The archive was written before numpy renamed this package.
        module = module.replace("numpy.core.", "numpy._core.")
        if (module, name) not in _PICKLE_NAMES:
            raise pickle.UnpicklingError(f"it wants to import {module}.{name}")
        return cast(object, super().find_class(module, name))


def unpickle(where: str, content: bytes) -> dict[bytes, object]:
    """A dictionary of plain values and arrays. Raises UserError for anything else."""
    try:
        found = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except Exception as fault:  # a damaged pickle raises almost anything
        reason = " ".join(str(fault).split())[:100]
        raise UserError(f"{where} cannot be unpickled ({reason}): download the archive again") from fault
    if not isinstance(found, dict):
        raise UserError(f"{where} holds a {type(found).__name__}, not a dictionary: download the archive again")
    return found

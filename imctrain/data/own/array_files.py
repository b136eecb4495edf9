"""Arrays of numpy's files as streams of rows: npy, and npz, which is a zip of them. Nothing is unpickled."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imctrain.data.archive import open_files
from imctrain.data.reading.bounds import Bounds
from imctrain.data.reading.faults import readable
from imctrain.data.reading.files import Entry, Files
from imctrain.data.reading.names import shown
from imctrain.data.reading.unpack import Readable, Stream
from imctrain.data.reading.zips import Zip
from imctrain.errors import UserError

MAGIC = b"\x93NUMPY"
_ROWS_BYTES = 4 << 20
_SMALL = 256 << 20
"""Bytes of an array that is taken as a whole: labels, and images in column-major order."""
_HEADER = 10_000
_VERSIONS: dict[tuple[int, int], Callable[..., tuple[tuple[int, ...], bool, np.dtype]]] = {  # type: ignore[type-arg]
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class ArrayFile:
    """One array, by its header.

    Attributes:
        name: its key, or the name of its file. where: what an error names.
        shape, dtype, fortran: as numpy has them.
        stream: opens it anew, at its magic.
    """

    name: str
    where: str
    shape: tuple[int, ...]
    dtype: np.dtype  # type: ignore[type-arg]
    fortran: bool
    stream: Callable[[], Stream]

    def rows(self) -> Iterator[npt.NDArray[np.generic]]:
        """Blocks of rows (of the first dimension), in order."""
        if self.fortran or not self.shape:
            yield self.whole()
            return
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        step = max(_ROWS_BYTES // max(row, 1), 1)
        with readable(Path(self.where)), closing(self.stream()) as stream:
            _header(stream, self.where)
            for start in range(0, self.shape[0], step):
                count = min(step, self.shape[0] - start)
                yield self._values(stream, (count, *self.shape[1:]))
            if stream.read(1):
                raise UserError(f"{self.where} has more data than its header says: write it again")

    def whole(self) -> npt.NDArray[np.generic]:
        """All of a small array."""
        size = math.prod(self.shape) * self.dtype.itemsize
        if size > _SMALL:
            order = ", in column-major order," if self.fortran else ""
            raise UserError(
                f"{self.where} has {size} bytes{order} and would be read as a whole, which {_SMALL} may: write it with "
                "np.ascontiguousarray"
            )
        with readable(Path(self.where)), closing(self.stream()) as stream:
            _header(stream, self.where)
            if self.fortran:
                return self._values(stream, self.shape[::-1]).T
            return self._values(stream, self.shape)

    def _values(self, stream: Readable, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
        size = math.prod(shape) * self.dtype.itemsize
        content = stream.read(size)
        if len(content) != size:
            raise EOFError("it ends inside of its data")
        return np.frombuffer(content, self.dtype).reshape(shape)


def arrays_of(path: Path, bounds: Bounds) -> list[ArrayFile] | None:
    """The arrays of an npz file, or of a folder with npy and npz files and no others of its kind; None without any.

    Raises:
        UserError: a damaged file, or pickled objects.
    """
    if path.is_file():
        return _of_file(path, bounds, path.stem)
    found: list[ArrayFile] = []
    for file in sorted(path.iterdir()):
        if file.suffix.lower() in (".npy", ".npz") and file.is_file():
            inside = _of_file(file, bounds, file.stem) or []
            # A file with one array has its meaning in its own name.
            found += [inside[0]] if len(inside) == 1 else inside
    return found or None


def is_arrays(path: Path) -> bool:
    """Whether a source is a file or a folder of arrays."""
    if path.is_dir():
        return any(f.suffix.lower() in (".npy", ".npz") and f.is_file() for f in path.iterdir())
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    if head == MAGIC:
        return True
    if head[:4] not in (b"PK\3\4", b"PK\5\6"):
        return False
    names = [entry.path for entry in Zip(path) if entry.kind == "file"]
    return bool(names) and all(name.endswith(".npy") for name in names)


def _of_file(path: Path, bounds: Bounds, stem: str) -> list[ArrayFile] | None:
    with readable(path), path.open("rb") as file:
        if file.read(len(MAGIC)) == MAGIC:
            return [_array(stem, shown(path), partial(_plain, path))]
    if not is_arrays(path):
        return None
    files = open_files(path, bounds)
    members = [entry for entry in files if entry.kind == "file"]
    # Entries open their file while they are gone through: each array goes through the short list again.
    found = [
        _array(entry.path.removesuffix(".npy"), f"{shown(path)}: {shown(entry.path)}", partial(_member, files, entry))
        for entry in members
    ]
    return (
        [ArrayFile(stem, a.where, a.shape, a.dtype, a.fortran, a.stream) for a in found] if len(found) == 1 else found
    )


class _Held:
    """A member of an archive, which stays open with it."""

    def __init__(self, entries: Iterator[Entry], entry: Entry):
        self._entries = entries
        self._stream = entry.stream()

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(size)

    def close(self) -> None:
        self._stream.close()
        self._entries = iter(())


def _plain(path: Path) -> Stream:
    return path.open("rb")


def _member(files: Files, wanted: Entry) -> Stream:
    entries = iter(files)
    return _Held(entries, next(entry for entry in entries if entry.path == wanted.path))


def _array(name: str, where: str, stream: Callable[[], Stream]) -> ArrayFile:
    with readable(Path(where)), closing(stream()) as opened:
        shape, fortran, dtype = _header(opened, where)
    if dtype.hasobject:
        raise UserError(f"{where} holds pickled objects, which can run any code: write plain arrays")
    if dtype.fields is not None or dtype.kind not in "biufSU":
        raise UserError(f"{where} has values of type {dtype}: allowed are whole numbers, floats, truth values and text")
    if any(side < 0 for side in shape):
        raise UserError(f"{where} has the shape {shape}: write it again")
    return ArrayFile(name, where, shape, dtype, fortran, stream)


def _header(stream: Readable, where: str) -> tuple[tuple[int, ...], bool, np.dtype]:  # type: ignore[type-arg]
    """Shape, order and type at the head of an npy file; the stream is then at its data."""
    start = stream.read(8)
    if start[:6] != MAGIC or len(start) < 8:
        raise UserError(f"{where} is no array of numpy's: it starts with {start[:6].hex() or 'nothing'}")
    version = (start[6], start[7])
    if version not in _VERSIONS:
        raise UserError(f"{where} is of version {version[0]}.{version[1]}: 1.0 and 2.0 are read")
    width = 2 if version == (1, 0) else 4
    length = stream.read(width)
    size = int.from_bytes(length, "little")
    if size > _HEADER:
        raise UserError(f"{where} has a header of {size} bytes: it is damaged")
    try:
        return _VERSIONS[version](io.BytesIO(length + stream.read(size)))
    except Exception as fault:  # the header is text of Python's that numpy evaluates as a literal
        raise UserError(f"{where} has a header that cannot be read: it is damaged") from fault

"""What a file is packed in: gzip, bzip2, xz, Zstandard, zip; and what is told of a file that is no table."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import IO, NamedTuple, cast

from imctrain.errors import UserError

DEEPEST = 3
"""Packings inside each other, such as a .csv.gz in a zip."""
TAR_AT = 257
ACCEPTED = "give a CSV or text table (plain, gzip, bz2, xz, zst or zip) or parquet file of conversions"

NO_TABLES = {
    b"\xd0\xcf\x11\xe0": "an Excel workbook: save the sheet as CSV",
    b"\x89HDF": "an HDF5 (or MATLAB 7.3) file: write the conversions as CSV or parquet",
    b"MATLAB 5.0 MAT": "a MATLAB file: write the conversions with writetable, as CSV",
    b"\x93NUMPY": "a NumPy array: write it with numpy.savetxt and a header, or as parquet",
    b"ARROW1": "an Arrow (Feather) file: write it as parquet",
    b"SQLite format 3": "an SQLite database: write the conversions as CSV",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"%PDF": "a PDF: give the conversions themselves",
}
DAMAGE = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
)
"""What readers of packed files raise in the middle; an OSError that has a number is the disk's (see `is_damage`)."""


class Unpacked(NamedTuple):
    """A stream of what is inside, the streams below it, and the packings in words, outermost first."""

    stream: io.BufferedIOBase
    below: tuple[IO[bytes], ...]
    packings: tuple[str, ...]


def unpack(path: Path, raw: io.BufferedReader) -> Unpacked:
    """The table in `raw`, which is at its beginning.

    Raises:
        UserError: a zip with several members or a password, an archive, or a file that is known to be no table.
    """
    stream: io.BufferedIOBase = raw
    below: list[IO[bytes]] = []
    packings: list[str] = []
    try:
        while True:
            start = _peek(stream)
            _refuse_no_table(path, start, packings)
            packing = _packing(start)
            if packing is None:
                return Unpacked(stream, tuple(below), tuple(packings))
            if len(packings) == DEEPEST:
                raise UserError(f"{path}: {' in '.join(packings)}: packed too often: unpack it")
            packings.append(packing)
            if packing == "zip":
                stream, archive, packings[-1] = _zip_member(path, stream)
                below.append(archive)
            else:
                below.append(cast(IO[bytes], stream))
                stream = _opened(path, stream, packing)
    except DAMAGE as error:
        if not is_damage(error):
            raise
        # The damage is met again, and told with its place, where the text is read.
        return Unpacked(_Broken(error), tuple(below), tuple(packings))


def is_damage(error: BaseException) -> bool:
    """Whether an exception tells of the file's content rather than of the disk or of this program."""
    return isinstance(error, DAMAGE) and not (isinstance(error, OSError) and error.errno is not None)


def damage(error: BaseException, packings: tuple[str, ...]) -> tuple[str, str]:
    """What is told of a packed file that ends or breaks in the middle: what was found, and the way out."""
    name = (packings or ("",))[-1].split(" ")[0]
    name = name if name in ("gzip", "bz2", "xz", "zst", "zip") else "packed"
    test = {"gzip": "gzip -t", "bz2": "bzip2 -t", "xz": "xz -t", "zst": "zstd -t", "zip": "unzip -t"}.get(name)
    reason = " ".join(str(error).split()) or type(error).__name__
    checks = f"; {test} checks it" if test else ""
    return f"the {name} file is damaged or cut off here ({reason})", f"copy it again{checks}"


class _Broken(io.BufferedIOBase):
    """A stream that could not be opened."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def read1(self, size: int = -1, /) -> bytes:
        raise self._error


def _peek(stream: io.BufferedIOBase) -> bytes:
    """Some bytes at the place of `stream`, which all streams here can look at without moving."""
    return bytes(cast(io.BufferedReader, stream).peek(TAR_AT + 8))


def _packing(start: bytes) -> str | None:
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start[:3] == b"BZh" and start[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bz2"
    if start.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        return "zst"
    return "zip" if start.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")) else None


def _opened(path: Path, stream: io.BufferedIOBase, packing: str) -> io.BufferedIOBase:
    source = cast(IO[bytes], stream)
    if packing == "gzip":
        return gzip.GzipFile(fileobj=source, mode="rb")
    if packing == "bz2":
        return bz2.BZ2File(source)
    if packing == "xz":
        return lzma.LZMAFile(source)
    try:
        import pyarrow as pa
    except ImportError:
        raise UserError(f"{path}: a Zstandard file, which needs pyarrow: unpack it with zstd -d") from None
    return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd"))


def _zip_member(path: Path, stream: io.BufferedIOBase) -> tuple[io.BufferedIOBase, IO[bytes], str]:
    """The one table in an archive: (its stream, the archive, in words)."""
    if not stream.seekable():
        raise UserError(f"{path}: a zip inside of another packing: unpack it")
    archive = zipfile.ZipFile(cast(IO[bytes], stream))
    members = [m for m in archive.infolist() if not m.is_dir() and not _is_beside(m.filename)]
    names = [member.filename for member in members]
    if "[Content_Types].xml" in names or "content.xml" in names:
        raise UserError(f"{path}: a spreadsheet (Excel or OpenDocument): save the sheet as CSV")
    if len(members) != 1:
        there = f"{len(names)} files ({', '.join(names[:5])}{' ...' if len(names) > 5 else ''})" if names else "no file"
        raise UserError(f"{path}: the zip archive has {there}: give it with one table, or unpack it and name the table")
    if members[0].flag_bits & 1:
        raise UserError(f"{path}: {names[0]} in the zip archive has a password: unpack it and give the table")
    return cast(io.BufferedIOBase, archive.open(members[0])), cast(IO[bytes], archive), f"zip (member {names[0]})"


def _is_beside(name: str) -> bool:
    """Files that systems put into archives without being asked."""
    parts = name.split("/")
    return parts[0] == "__MACOSX" or parts[-1] in (".DS_Store", "Thumbs.db", "desktop.ini")


def _refuse_no_table(path: Path, start: bytes, packings: list[str]) -> None:
    for magic, told in NO_TABLES.items():
        if start.startswith(magic):
            raise UserError(f"{path}: {told}")
    if start[TAR_AT : TAR_AT + 5] == b"ustar":
        raise UserError(f"{path}: a tar archive: unpack it and give the table")
    if packings and start.startswith(b"PAR1"):
        raise UserError(f"{path}: a parquet file in {' in '.join(packings)}: unpack it (parquet is compressed itself)")

"""A zip archive as a source of files."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from imctrain.data.reading.bounds import DEFAULT, Bounds, Meter
from imctrain.data.reading.faults import Guarded, readable
from imctrain.data.reading.files import Entry, nothing
from imctrain.data.reading.names import inside, shown
from imctrain.data.reading.unpack import Stream
from imctrain.errors import UserError

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
_END, _END64, _LOCATOR64, _MEMBER = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2"
_END_BYTES, _LOCATOR_BYTES, _MEMBER_BYTES, _COMMENT_BYTES = 22, 20, 46, 1 << 16


@dataclass(frozen=True)
class Zip:
    """The files and folders of a zip archive, in its order. Links are refused, and files behind a password."""

    path: Path
    bounds: Bounds = DEFAULT

    def __iter__(self) -> Iterator[Entry]:
        meter = Meter(self.path, self.path.stat().st_size, self.bounds)
        with readable(self.path), self.path.open("rb") as file:
            _check_members(file, self.path, self.bounds.files)
            with zipfile.ZipFile(file) as archive:
                for member in archive.infolist():
                    meter.file()
                    yield from self._entry(archive, member, meter)

    def _entry(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, meter: Meter) -> Iterator[Entry]:
        name = member.filename.replace("\\", "/")  # as some programs of Windows write it
        path = "/".join(inside(self.path, name))
        kind = stat.S_IFMT(member.external_attr >> 16)
        if name.endswith("/"):
            if path:
                yield Entry(path, "folder", 0, nothing)
            return
        if kind not in (0, stat.S_IFREG):
            raise UserError(f"{shown(self.path)} holds {shown(name)}, which is no regular file: pack files, not links")
        if member.flag_bits & 1:
            raise UserError(f"{shown(self.path)} holds {shown(name)} behind a password: unpack it and give the folder")
        if member.compress_type not in _METHODS:
            raise UserError(
                f"{shown(self.path)} holds {shown(name)} packed by method {member.compress_type}: "
                "pack it with `zip`, or unpack it and give the folder"
            )
        yield Entry(path, "file", member.file_size, partial(_stream, archive, member, meter, self.path))


def _stream(archive: zipfile.ZipFile, member: zipfile.ZipInfo, meter: Meter, path: Path) -> Stream:
    with readable(path):
        return Guarded(_Metered(archive, member, meter), path)


class _Metered:
    """A member that is counted as it is unpacked; its checksum is compared at its end."""

    def __init__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, meter: Meter):
        self._stream: Stream = archive.open(member)
        self._meter = meter

    def read(self, size: int = -1, /) -> bytes:
        parts = []
        missing = size
        while missing:
            part = self._stream.read(min(missing, 1 << 16) if missing > 0 else 1 << 16)
            if not part:
                break
            self._meter.bytes(len(part))
            parts.append(part)
            missing -= len(part) if missing > 0 else 0
        return b"".join(parts)

    def close(self) -> None:
        self._stream.close()


def _check_members(file: BinaryIO, path: Path, most: int) -> None:
    """Counts the members before zipfile makes an object of each."""
    size = file.seek(0, 2)
    start = max(size - _END_BYTES - _COMMENT_BYTES, 0)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise zipfile.BadZipFile("the list of its files is missing")
    length, offset = struct.unpack("<LL", tail[at + 12 : at + 20])
    end = start + at
    if 0xFFFFFFFF in (length, offset) or tail[at + 10 : at + 12] == b"\xff\xff":
        file.seek(max(end - _LOCATOR_BYTES, 0))
        locator = file.read(_LOCATOR_BYTES)
        if locator[:4] == _LOCATOR64:
            file.seek(struct.unpack("<Q", locator[8:16])[0])
            record = file.read(56)
            if record[:4] == _END64 and len(record) == 56:
                length = struct.unpack("<Q", record[40:48])[0]
                end = struct.unpack("<Q", locator[8:16])[0]
    file.seek(max(end - length, 0))
    found = 0
    while length >= _MEMBER_BYTES:
        header = file.read(_MEMBER_BYTES)
        if header[:4] != _MEMBER or len(header) < _MEMBER_BYTES:
            break
        found += 1
        if found > most:
            raise UserError(f"{shown(path)} holds more than {most} files: --max-files raises the bound")
        more = sum(struct.unpack("<HHH", header[28:34]))
        file.seek(more, 1)
        length -= _MEMBER_BYTES + more
    file.seek(0)

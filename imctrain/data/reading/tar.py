"""A tar archive of any compression as a source of files."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from imctrain.data.reading.bounds import DEFAULT, Bounds, Meter
from imctrain.data.reading.faults import Guarded, readable
from imctrain.data.reading.files import Entry, nothing
from imctrain.data.reading.names import inside, shown
from imctrain.data.reading.unpack import Stream, Unpacked
from imctrain.errors import UserError

_HEADER_BYTES = 1 << 20
_END_MARK = 2 * tarfile.BLOCKSIZE
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class _Member(tarfile.TarInfo):
    """A member whose headers are no longer than names are: tarfile reads them as a whole."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HEADERS and self.size > _HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member


@dataclass(frozen=True)
class Tar:
    """The files and folders of a tar archive, in its order. Links and devices are refused.

    Attributes:
        whole: the archive is known to be complete (by its checksum), so that its end is not looked at.
    """

    path: Path
    bounds: Bounds = DEFAULT
    whole: bool = False

    def __iter__(self) -> Iterator[Entry]:
        meter = Meter(self.path, self.path.stat().st_size, self.bounds)
        with readable(self.path), self.path.open("rb") as file:
            unpacked = Unpacked(file, meter)
            with tarfile.open(fileobj=unpacked, mode="r|", tarinfo=_Member) as archive:  # type: ignore[call-overload]
                yield from self._entries(archive, meter)
                unpacked.finish()
                self._check_end(unpacked, archive.offset)

    def _entries(self, archive: tarfile.TarFile, meter: Meter) -> Iterator[Entry]:
        while (member := archive.next()) is not None:
            meter.file()
            path = "/".join(inside(self.path, member.name))
            if member.isdir():
                if path:
                    yield Entry(path, "folder", 0, nothing)
            elif not member.isfile() or member.sparse is not None:
                raise UserError(
                    f"{shown(self.path)} holds {shown(member.name)}, which is no regular file: pack files, not links"
                )
            else:
                yield Entry(path, "file", member.size, partial(_stream, archive, member, self.path))
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all of them

    def _check_end(self, unpacked: Unpacked, end: int) -> None:
        """Two blocks of zeros end an archive, and nothing follows: one that was cut between members has none."""
        if self.whole or (unpacked.total - unpacked.zeros <= end and unpacked.total - end >= _END_MARK):
            return
        raise UserError(
            f"{shown(self.path)} ends without the end mark of a tar archive: it is damaged or incomplete; get it again"
        )


def _stream(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> Stream:
    stream = archive.extractfile(member)
    assert stream is not None
    return Guarded(stream, path)

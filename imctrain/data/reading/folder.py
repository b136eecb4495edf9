"""A folder as a source of files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from imctrain.data.reading.bounds import DEFAULT, Bounds, Meter
from imctrain.data.reading.faults import Guarded
from imctrain.data.reading.files import Entry, nothing
from imctrain.data.reading.names import shown
from imctrain.data.reading.unpack import Stream
from imctrain.errors import UserError


@dataclass(frozen=True)
class Folder:
    """Every file and folder below a folder, in sorted order.

    Attributes:
        follow_links: take what links lead to, wherever it lies. Else only files that lie in the folder too.
    """

    path: Path
    bounds: Bounds = DEFAULT
    follow_links: bool = False

    def __iter__(self) -> Iterator[Entry]:
        meter = Meter(self.path, 0, self.bounds)
        yield from self._below(self.path, "", meter, (os.path.realpath(self.path),))

    def _below(self, folder: Path, prefix: str, meter: Meter, above: tuple[str, ...]) -> Iterator[Entry]:
        try:
            names = sorted(os.listdir(folder))
        except OSError as fault:
            raise UserError(f"{shown(folder)} cannot be read: {fault.strerror or fault}") from fault
        for name in names:
            meter.file()
            file, path = folder / name, prefix + name
            try:
                facts = self._facts(file)
            except OSError as fault:
                raise UserError(f"{shown(file)} cannot be read: {fault.strerror or fault}") from fault
            if facts is None:
                yield Entry(path, "special", 0, nothing)
            elif stat.S_ISDIR(facts.st_mode):
                real = os.path.realpath(file)
                if real in above:
                    raise UserError(f"{shown(file)} is a link to a folder that it lies in: remove the link")
                yield Entry(path, "folder", 0, nothing)
                yield from self._below(file, path + "/", meter, (*above, real))
            elif stat.S_ISREG(facts.st_mode):
                yield Entry(path, "file", facts.st_size, partial(_open, file))
            else:
                yield Entry(path, "special", 0, nothing)

    def _facts(self, file: Path) -> os.stat_result | None:
        """None for a link to nothing."""
        facts = file.lstat()
        if not stat.S_ISLNK(facts.st_mode):
            return facts
        try:
            target = file.stat()
        except OSError:
            return None
        inside = Path(os.path.realpath(file)).is_relative_to(os.path.realpath(self.path))
        if not self.follow_links and (stat.S_ISDIR(target.st_mode) or not inside):
            raise UserError(
                f"{shown(file)} is a link to {shown(os.readlink(file))}: links that leave the folder, and links to "
                "folders, are followed with --follow-links alone"
            )
        return target


def _open(file: Path) -> Stream:
    try:
        # Not to wait for ever where a pipe has taken the file's place.
        stream = os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as fault:
        raise UserError(f"{shown(file)} cannot be read: {fault.strerror or fault}") from fault
    return Guarded(stream, file)

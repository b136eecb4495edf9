"""The text of a file as UTF-8 with \\n at line ends, in a stream, whatever it is packed and encoded in."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from imctrain.calibration.reading.encoding import Encoding, encoding_of
from imctrain.calibration.reading.packing import ACCEPTED, DAMAGE, damage, is_damage, unpack
from imctrain.errors import UserError

HEAD_BYTES = 2 << 20
"""What is looked at before rows are read: a header of 65536 columns fits."""
CHUNK_BYTES = 1 << 20


class TextFile:
    """One text file.

    Attributes:
        packings: in words, outermost first. encoding: of the text inside.
        head: its beginning as text; whole lines and at the end perhaps a part of one. whole: whether that is all.
        old_line_ends: lines end in CR alone.
        damage: what was found, and the way out, once a packed file turned out to be damaged; else None.

    Raises:
        UserError: not a text file; see `packing.unpack`.
    """

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self._raw = path.open("rb")
        self._size = max(path.stat().st_size, 1)
        self.damage: tuple[str, str] | None = None
        self._below: tuple[object, ...] = ()
        try:
            self._stream, self._below, self.packings = unpack(path, self._raw)
            start, self.whole = self._start()
            found = encoding_of(start, self.whole, encoding)
            if found is None:
                raise UserError(f"{path}: row 0 (line 1): not a text file: {ACCEPTED}")
            self.encoding: Encoding = found
            self._decoder = codecs.getincrementaldecoder(found.name)("replace")
            self._ended = False
            self._first = self._utf8(start[found.mark :], self.whole)
        except BaseException:
            self.close()
            raise
        self.old_line_ends = b"\r" in self._first and b"\n" not in self._first
        self._first = self._lines(self._first)
        self.head = self._first.decode("utf-8", "replace")

    @property
    def fraction(self) -> float:
        """Share of the file that has been read."""
        return 1.0 if self._raw.closed else min(1.0, self._raw.tell() / self._size)

    def chunks(self) -> Iterator[bytes]:
        """All of the text, from the beginning; ends early where `damage` was met."""
        yield self._first
        while not self.whole and (part := self._read()):
            yield self._lines(self._utf8(part, False))
        if not self.whole:
            yield self._lines(self._utf8(b"", True))

    def close(self) -> None:
        """Close the file."""
        for stream in (getattr(self, "_stream", None), *reversed(self._below), self._raw):
            if stream is not None and hasattr(stream, "close"):
                stream.close()

    def _start(self) -> tuple[bytes, bool]:
        parts: list[bytes] = []
        size = 0
        while size < HEAD_BYTES:
            part = self._read()
            if not part:
                return b"".join(parts), True
            parts.append(part)
            size += len(part)
        return b"".join(parts), False

    def _read(self) -> bytes:
        if self.damage is not None:
            return b""
        try:
            return self._stream.read1(CHUNK_BYTES)
        except DAMAGE as error:
            if not is_damage(error):
                raise
            self.damage = damage(error, self.packings)
            return b""

    def _utf8(self, part: bytes, last: bool) -> bytes:
        """As it stands where it is UTF-8: what is broken in it may stand where nobody reads."""
        return part if self.encoding.name == "utf-8" else self._decoder.decode(part, last).encode("utf-8", "replace")

    def _lines(self, part: bytes) -> bytes:
        return part.replace(b"\r", b"\n") if self.old_line_ends else part


class NoLineBreak(Exception):
    """A line longer than any row of a table."""


def blocks(text: TextFile, above: int, size: int) -> Iterator[tuple[bytes, bool]]:
    """(whole lines, some `size` bytes together; whether the last of them has an end of line in the file).

    What comes before damage is given.

    Args:
        above: lines at the beginning that are left out.

    Raises:
        NoLineBreak: a line is longer than `size`.
    """
    parts: list[bytes] = []
    held = 0
    for chunk in text.chunks():
        while above and chunk:
            end = chunk.find(b"\n") + 1
            above, chunk = (above - 1, chunk[end:]) if end else (above, b"")
        for start in range(0, len(chunk), size):
            parts.append(chunk[start : start + size])
            held += len(parts[-1])
            if held < size:
                continue
            block = b"".join(parts)
            cut = block.rfind(b"\n") + 1
            if cut:
                yield block[:cut], True
            parts, held = [block[cut:]], len(block) - cut
            if held > size:
                raise NoLineBreak(f"no line break in {held} bytes")
    block = b"".join(parts)
    cut = block.rfind(b"\n") + 1
    if text.damage is not None:
        block = block[:cut]
    if block.strip():
        ended = len(block) == cut
        yield (block if ended else block + b"\n"), ended

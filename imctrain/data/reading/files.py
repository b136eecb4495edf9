"""What a source of files gives: its files one after another, the same again each time it is gone through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from imctrain.data.reading.bounds import Bounds
from imctrain.data.reading.names import shown
from imctrain.data.reading.unpack import Stream
from imctrain.errors import UserError

Kind: TypeAlias = Literal["file", "folder", "special"]


@dataclass(frozen=True)
class Entry:
    """One file, folder, or thing that is neither (a device, say).

    Attributes:
        path: within the source, with `/`.
        kind: what it is.
        size: bytes of a file.
        stream: opens a file; of an archive, before the next entry is asked for.
    """

    path: str
    kind: Kind
    size: int
    stream: Callable[[], Stream]

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.path.split("/"))

    def content(self, most: int) -> bytes:
        """All bytes of a file. Raises UserError for more than `most`."""
        with closing(self.stream()) as stream:
            return self.rest(stream, b"", most)

    def rest(self, stream: Stream, head: bytes, most: int) -> bytes:
        """All bytes of a file whose first ones were read already."""
        content = head if self.size > most else head + stream.read(most + 1 - len(head))
        if self.size > most or len(content) > most:
            raise UserError(
                f"{shown(self.path)} has {max(self.size, len(content))} bytes: the file of an image or a table may "
                f"have {most}; --max-pixels raises the bound, if the source is to be trusted"
            )
        return content


class Files(Protocol):
    """A folder or an archive."""

    @property
    def path(self) -> Path: ...
    @property
    def bounds(self) -> Bounds: ...
    def __iter__(self) -> Iterator[Entry]: ...


def nothing() -> Stream:
    """The stream of what is no file."""
    raise AssertionError("only files are opened")

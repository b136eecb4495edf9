"""Bounds of what an import unpacks, since a small archive can hold a very large one.

They are this project's choice: far above what data sets for these networks hold, and within 2 GiB of memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imctrain.errors import UserError

FREE_BYTES = 64 << 20
"""The ratio is judged beyond so many unpacked bytes: a small archive of blank images is no bomb."""


@dataclass(frozen=True)
class Bounds:
    """What may be unpacked from one source.

    Attributes:
        pixels: of one image, height times width. An image file may have 4 bytes for each.
        files: files and folders of a source.
        bytes: unpacked bytes in all, and bytes of the decoded images in all.
        ratio: unpacked bytes by packed bytes, judged beyond `FREE_BYTES`.
    """

    pixels: int = 1 << 26
    files: int = 1_000_000
    bytes: int = 16 << 30
    ratio: int = 200

    @property
    def image_file(self) -> int:
        """Bytes of the file of one image."""
        return 4 * self.pixels


DEFAULT = Bounds()


class Meter:
    """Counts what one reading of a source unpacks, and stops it beyond the bounds."""

    def __init__(self, path: Path, packed: int, bounds: Bounds):
        """`packed`: bytes of the source on disk; 0 where nothing is packed, and no ratio is judged."""
        self._path = path
        self._packed = packed
        self._bounds = bounds
        self._files = 0
        self._bytes = 0

    def file(self) -> None:
        """One more file or folder."""
        self._files += 1
        if self._files > self._bounds.files:
            raise UserError(
                f"{self._path} holds more than {self._bounds.files} files: --max-files raises the bound, "
                "if the source is to be trusted"
            )

    def bytes(self, count: int) -> None:
        """`count` more bytes were unpacked."""
        self._bytes += count
        if self._bytes > self._bounds.bytes:
            raise UserError(
                f"{self._path} unpacks to more than {self._bounds.bytes} bytes: --max-bytes raises the bound, "
                "if the source is to be trusted"
            )
        if self._packed and self._bytes > FREE_BYTES and self._bytes > self._bounds.ratio * self._packed:
            raise UserError(
                f"{self._path} has {self._packed} bytes and unpacks to more than {self._bytes}, over "
                f"{self._bounds.ratio} times as many, as archives do that are made to fill a disk: "
                "--max-ratio raises the bound, if the source is to be trusted"
            )

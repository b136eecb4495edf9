"""Decoded images on their way from a source to the records: on disk, so that memory does not grow with them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from imctrain.data.dataset import Images
from imctrain.data.reading.bounds import Bounds
from imctrain.data.room import allocate, is_full, no_room
from imctrain.errors import UserError

_READ_BYTES = 1 << 20


class Spool:
    """Images of one shape in a file without a name, which is gone with the process, however that ends."""

    def __init__(self, shape: tuple[int, ...], scratch: Path, bounds: Bounds, what: str):
        """Takes the room of all images.

        Args:
            shape: (n, height, width, channels). scratch: folder of the file.
            bounds: of the decoded images. what: what an error names.

        Raises:
            UserError: more bytes than the bounds allow, or than there is room for.
        """
        self.shape = shape
        self._image = math.prod(shape[1:])
        size = math.prod(shape)
        if size > bounds.bytes:
            raise UserError(
                f"{what} takes {size} bytes when it is decoded, more than {bounds.bytes}: --size makes images "
                "smaller, --max-bytes raises the bound"
            )
        self._size, self._scratch, self._what = size, scratch, what
        self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
        try:
            allocate(self._file.fileno(), size)
        except OSError as fault:
            self._file.close()
            raise self._fault(fault) from fault

    def __len__(self) -> int:
        return self.shape[0]

    def write(self, row: int, images: Images) -> None:
        """Puts images uint8 [k, height, width, channels] at rows `row` and following."""
        try:
            self._file.seek(row * self._image)
            self._file.write(np.ascontiguousarray(images).data.cast("B"))
        except OSError as fault:
            raise self._fault(fault) from fault

    def __iter__(self) -> Iterator[Images]:
        self._file.seek(0)
        step = max(_READ_BYTES // max(self._image, 1), 1)
        for start in range(0, len(self), step):
            count = min(step, len(self) - start)
            self._file.seek(start * self._image)
            content = self._file.read(count * self._image)
            yield from np.frombuffer(content, np.uint8).reshape(count, *self.shape[1:])

    def shortened(self, count: int) -> Spool:
        """The first `count` images only, of the same file."""
        self.shape = (count, *self.shape[1:])
        return self

    def _fault(self, fault: OSError) -> Exception:
        # Users know the folder that holds the hidden one.
        folder = self._scratch.parent if self._scratch.name.startswith(".") else self._scratch
        return no_room(fault, folder, self._size, f"decoding {self._what}") if is_full(fault) else fault

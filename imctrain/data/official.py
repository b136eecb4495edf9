"""What a published data set is: its facts, and how its files are read. One file each; `sources` lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from imctrain.data.archive import Progress, no_progress
from imctrain.data.dataset import RawImages
from imctrain.data.verify import Expected


@runtime_checkable
class Reader(Protocol):
    """Reads all images of a data set's own files, in their order."""

    def __call__(self, path: Path, *, checksums: Mapping[str, str], progress: Progress = no_progress) -> RawImages:
        """Raises UserError for a wrong checksum, and for files that are missing, damaged or malformed.

        Args:
            path: file or folder as it was published.
            checksums: SHA-256 by kind of file, see `Official`.
            progress: told what is being read.
        """


@dataclass(frozen=True)
class Official:
    """A published data set.

    Attributes:
        name: as `imctrain data import` and `[data] name` take it, and as TFDS has it.
        title: as people write it.
        expected: what it must contain.
        tfds: name of TFDS's builder in `tensorflow_datasets.image_classification`.
        read: reads its own files.
        checksums: SHA-256 that a published file must have, by kind of file; a kind that is left out is not checked.
        recognise: whether a path holds its own files, so that they are taken for nothing else, and whatever else is
            given is read as an image tree; raises UserError for such files in a form that cannot be verified. None:
            it is read from its own files alone.
        downloads: TFDS knows where its file is, in the form that `read` takes.
    """

    name: str
    title: str
    expected: Expected
    tfds: str
    read: Reader
    checksums: Mapping[str, str]
    recognise: Callable[[Path], bool] | None = None
    downloads: bool = False

"""What a published data set is: its facts, and how its files are read. One file each; `sources` lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from imctrain.data.dataset import RawImages
from imctrain.data.request import PLAIN, Request
from imctrain.data.verify import Expected


@runtime_checkable
class Reader(Protocol):
    """Reads all images of a data set's own files, in their order."""

    def __call__(self, path: Path, *, checksums: Mapping[str, str], request: Request = PLAIN) -> RawImages:
        """Raises UserError for a wrong checksum, and for files that are missing, damaged or malformed.

        Args:
            path: file or folder as it was published.
            checksums: SHA-256 by kind of file, see `Official`.
            request: bounds, and who is told what.
        """


@dataclass(frozen=True)
class Official:
    """A published data set.

    Attributes:
        name: as `imctrain data import` and `[data] name` take it, and as TFDS has it where `tfds` says so.
        title: as people write it.
        files: its own files, in a few words.
        expected: what it must contain.
        read: reads its own files.
        recognise: whether a path holds its own files, so that they are taken for nothing else; whatever else is given
            is read as images or arrays of this data set. Raises UserError for such files in a form that is not read.
        tfds: name of TFDS's builder in `tensorflow_datasets.image_classification`; empty: TFDS has none like it.
        checksums: SHA-256 that a published file must have, by kind of file; a kind that is left out is not checked.
        downloads: TFDS knows where its file is, in the form that `read` takes.
        idx: it comes in the idx files of MNIST, which do not say whose they are; the kind of EMNIST's, or "".
            None: in other files.
    """

    name: str
    title: str
    files: str
    expected: Expected
    read: Reader
    recognise: Callable[[Path], bool] | None = None
    tfds: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)
    downloads: bool = False
    idx: str | None = None

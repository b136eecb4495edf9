"""What every loader returns: two splits of 8-bit images with labels, and where they came from."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

BLOCK = 8 << 20
"""Bytes of images that are looked at together."""
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Split:
    """Images and their labels, in a fixed order.

    Attributes:
        images: uint8 [n, height, width, channels], a memory map or an array; never written to.
        labels: int32 [n], class indices.
    """

    images: Images
    labels: Labels

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise ValueError(f"{len(self.images)} images but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Source:
    """Where the pixels came from, so that a result can say what it was measured on.

    Attributes:
        kind: "embedded", "cifar-10-binary", "cifar-10-python", the same of CIFAR-100, "image-tree", "image-list" (with
            a table of labels), "arrays", "idx", "svhn", or "tfds" (prepared by TFDS).
        file: name of the archive or folder, without its path; empty where there was none.
        sha256: of the archive; of the sorted list of (relative path, SHA-256) for a folder; empty if unknown.
        lossy: the images are lossy (JPEG) copies of the originals, so accuracies compare with care.
        how: options of the import that pixels and splits depend on; empty where none was given.
        remark: in what it differs from the data set that was published under its name; empty where it does not.
        pixels: `PixelDigest` of all that was written; empty where it is not known.
    """

    kind: str
    file: str = ""
    sha256: str = ""
    lossy: bool = False
    how: str = ""
    remark: str = ""
    pixels: str = ""

    def as_dict(self) -> dict[str, str | bool]:
        """What a prepared data set keeps of it; what is empty and newer than the others is left out."""
        kept: dict[str, str | bool] = {
            "kind": self.kind,
            "file": self.file,
            "sha256": self.sha256,
            "lossy": self.lossy,
        }
        newer = {"how": self.how, "remark": self.remark, "pixels": self.pixels}
        return kept | {key: text for key, text in newer.items() if text}

    @classmethod
    def from_dict(cls, found: Mapping[str, object]) -> Source:
        """The source stored in a prepared data set's metadata; data sets of TFDS's own have none."""
        if "kind" not in found:
            return cls("tfds")
        texts = {key: str(found.get(key, "")) for key in ("file", "sha256", "how", "remark", "pixels")}
        return cls(kind=str(found["kind"]), lossy=bool(found.get("lossy", False)), **texts)


class Rows(Protocol):
    """Images uint8 [n, height, width, channels], in an array or somewhere else, one after another."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Images]: ...


class RawSplit(Protocol):
    """A split before it is written; a `Split` is one."""

    @property
    def images(self) -> Rows: ...
    @property
    def labels(self) -> Labels: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class StreamedSplit:
    """A split whose images are not in memory.

    Attributes:
        images: `Rows`. labels: int32 [n], class indices.
    """

    images: Rows
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class RawImages:
    """A data set as read from its source, before it is verified and written.

    Attributes:
        splits: "train" and "test" (or "validation" in its place), and "validation" beside them where it has one.
        classes: class names; a label is an index into them.
        source: where it was read from.
        coarse: names of coarser classes, and int32 [n] of them by split, where it has both (CIFAR-100).
    """

    splits: Mapping[str, RawSplit]
    classes: tuple[str, ...]
    source: Source
    coarse: tuple[tuple[str, ...], Mapping[str, Labels]] | None = None

    @property
    def size(self) -> int:
        """Bytes of the decoded images."""
        return sum(math.prod(split.images.shape) for split in self.splits.values())


@dataclass(frozen=True)
class Dataset:
    """A data set ready to train on.

    Attributes:
        name: as given to `load`.
        train, test: the splits.
        classes: class names.
        shape: (height, width, channels) of every image.
        mean, std: of each channel over the training images, in units of full scale (pixel / 255).
        source: where the pixels came from.
        path: folder of the prepared records; None for the embedded data set.
        known_content: `content_hash` of train and test where it is known already (a cache keeps it); empty if not.
        validation: images that the data set itself keeps for validation; `data.validation = "given"` uses them.
        known_validation: `content_hash` of those, where it is known already.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: Source
    path: Path | None = None
    known_content: str = ""
    validation: Split | None = None
    known_validation: str = ""

    @cached_property
    def content(self) -> str:
        """A hash of the splits: other data under the same name has another one.

        Of train and test, and of the images kept for validation where this project imported them. Data sets that TFDS
        prepared are known by train and test alone, as results that were kept of them are.
        """
        content = self.known_content or content_hash(self.train, self.test)
        if self.validation is None or self.source.kind == "tfds":
            return content
        given = self.known_validation or content_hash(self.validation)
        return hashlib.sha256(f"{content} {given}".encode()).hexdigest()


def content_hash(*splits: Split) -> str:
    """SHA-256 of every pixel and label of the splits, with their shapes; 0.23 s for CIFAR-10 on one core."""
    digest = hashlib.sha256()
    for split in splits:
        for values in (split.images, split.labels):
            digest.update(f"{values.dtype.str} {values.shape}\n".encode())
            for rows in blocks(values):
                digest.update(np.ascontiguousarray(rows).data.cast("B"))
    return digest.hexdigest()


class PixelDigest:
    """A digest of images with their splits and labels, whatever order they come in."""

    def __init__(self) -> None:
        self._found: list[bytes] = []

    def add(self, split: str, label: int, image: Images) -> None:
        """One image, uint8 [height, width, channels]."""
        digest = hashlib.sha256(f"{split} {label} {image.shape}\n".encode())
        digest.update(np.ascontiguousarray(image).data.cast("B"))
        self._found.append(digest.digest()[:16])

    def hexdigest(self) -> str:
        """SHA-256 over the sorted digests of the images."""
        return hashlib.sha256(b"".join(sorted(self._found))).hexdigest()


def blocks(values: npt.NDArray[Any], size: int = BLOCK) -> Iterator[npt.NDArray[Any]]:
    """Consecutive rows of an array, about `size` bytes at a time.

    A whole file that is mapped is read instead: pages of a map count as memory of the process.
    """
    row = max(math.prod(values.shape[1:]) * values.itemsize, 1)
    step = max(size // row, 1)
    name = values.filename if isinstance(values, np.memmap) else None
    whole = name is not None and values.offset + values.nbytes == os.path.getsize(name)  # type: ignore[attr-defined]
    if name is None or not whole or not values.flags.c_contiguous:
        for start in range(0, len(values), step):
            yield values[start : start + step]
        return
    with open(name, "rb") as file:
        file.seek(values.offset)  # type: ignore[attr-defined]
        for start in range(0, len(values), step):
            count = min(step, len(values) - start)
            found = np.fromfile(file, values.dtype, count * math.prod(values.shape[1:]))
            yield found.reshape(count, *values.shape[1:])


def channel_statistics(images: Images, size: int = BLOCK) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 [n, h, w, c], in units of full scale (pixel / 255).

    A channel that never changes gets a standard deviation of one, so that it can be divided by.
    """
    channels = images.shape[-1]
    total = np.zeros(channels, np.int64)
    squares = np.zeros(channels, np.int64)
    for rows in blocks(images, size):
        pixels = rows.reshape(-1, channels).astype(np.int64)
        total += pixels.sum(axis=0)
        squares += (pixels * pixels).sum(axis=0)
    count = images.size // channels
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0.0)
    std = np.where(variance > 0, np.sqrt(variance), 255.0)
    return tuple(float(m) for m in mean / 255), tuple(float(s) for s in std / 255)

"""What every loader returns: two splits of 8-bit images with labels, and where they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

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
        kind: "embedded", "cifar-10-binary", "cifar-10-python", "image-tree", "idx", or "tfds" (prepared by TFDS).
        file: name of the archive or folder, without its path; empty where there was none.
        sha256: of the archive; of the sorted list of (relative path, SHA-256) for a folder; empty if unknown.
        lossy: the images are lossy (JPEG) copies of the originals, so accuracies compare with care.
    """

    kind: str
    file: str = ""
    sha256: str = ""
    lossy: bool = False

    def as_dict(self) -> dict[str, str | bool]:
        return {"kind": self.kind, "file": self.file, "sha256": self.sha256, "lossy": self.lossy}

    @classmethod
    def from_dict(cls, found: Mapping[str, object]) -> Source:
        """The source stored in a prepared data set's metadata; data sets of TFDS's own have none."""
        if "kind" not in found:
            return cls("tfds")
        return cls(
            kind=str(found["kind"]),
            file=str(found.get("file", "")),
            sha256=str(found.get("sha256", "")),
            lossy=bool(found.get("lossy", False)),
        )


@dataclass(frozen=True)
class RawImages:
    """A data set as read from its source, before it is verified and written.

    Attributes:
        splits: "train" and "test".
        classes: class names; a label is an index into them.
        source: where it was read from.
    """

    splits: dict[str, Split]
    classes: tuple[str, ...]
    source: Source


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
        known_content: `content_hash` of the splits where it is known already (a cache keeps it); empty if not.
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

    @cached_property
    def content(self) -> str:
        """`content_hash` of the splits: other data under the same name has another one."""
        return self.known_content or content_hash(self.train, self.test)


def content_hash(train: Split, test: Split) -> str:
    """SHA-256 of every pixel and label of both splits, with their shapes; 0.23 s for CIFAR-10 on one core."""
    digest = hashlib.sha256()
    for split in (train, test):
        for values in (split.images, split.labels):
            digest.update(f"{values.dtype.str} {values.shape}\n".encode())
            digest.update(np.ascontiguousarray(values).data.cast("B"))
    return digest.hexdigest()


def channel_statistics(images: Images, chunk: int = 4096) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 [n, h, w, c], in units of full scale (pixel / 255).

    A channel that never changes gets a standard deviation of one, so that it can be divided by.
    """
    channels = images.shape[-1]
    total = np.zeros(channels, np.int64)
    squares = np.zeros(channels, np.int64)
    for start in range(0, len(images), chunk):
        pixels = images[start : start + chunk].reshape(-1, channels).astype(np.int64)
        total += pixels.sum(axis=0)
        squares += (pixels * pixels).sum(axis=0)
    count = images.size // channels
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0.0)
    std = np.where(variance > 0, np.sqrt(variance), 255.0)
    return tuple(float(m) for m in mean / 255), tuple(float(s) for s in std / 255)

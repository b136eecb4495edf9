"""MNIST: 70,000 grey images of 28 x 28 pixels of handwritten digits, in four idx files (LeCun et al., 1998)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imctrain.data.dataset import RawImages
from imctrain.data.published.idx import read_idx
from imctrain.data.published.official import Official
from imctrain.data.request import PLAIN, Request
from imctrain.data.verify import Expected

CLASSES = tuple("0123456789")


def read_mnist(path: Path, *, checksums: Mapping[str, str], request: Request = PLAIN) -> RawImages:
    """The four idx files, gzipped or not; see `official.Reader`."""
    return read_idx(path, CLASSES, request)


MNIST = Official(
    name="mnist",
    title="MNIST",
    files="its four idx files",
    expected=Expected(
        (28, 28, 1),
        CLASSES,
        {
            "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
            "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
        },
    ),
    tfds="MNIST",
    read=read_mnist,
    idx="",
)

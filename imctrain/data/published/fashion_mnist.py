"""Fashion-MNIST: 70,000 grey images of 28 x 28 pixels, in MNIST's four idx files.

Source: H. Xiao et al., "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017. The
files are published in a folder, packed again by many, so they are compared by their counts and not by a checksum.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imctrain.data.dataset import RawImages
from imctrain.data.published.idx import read_idx
from imctrain.data.published.official import Official
from imctrain.data.request import PLAIN, Request
from imctrain.data.verify import Expected

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def read_fashion_mnist(path: Path, *, checksums: Mapping[str, str], request: Request = PLAIN) -> RawImages:
    """The four idx files, gzipped or not; see `official.Reader`."""
    return read_idx(path, CLASSES, request)


FASHION_MNIST = Official(
    name="fashion_mnist",
    title="Fashion-MNIST",
    files="its four idx files",
    expected=Expected((28, 28, 1), CLASSES, {"train": 6000, "test": 1000}),
    tfds="FashionMNIST",
    read=read_fashion_mnist,
    idx="",
)

"""Fashion-MNIST: 70,000 grey images of 28 x 28 pixels, in MNIST's four idx files.

Source: H. Xiao et al., "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017. The
files are published in a folder, packed again by many, so they are held to their content and not to a checksum.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imctrain.data.archive import Progress, no_progress
from imctrain.data.dataset import RawImages
from imctrain.data.idx import read_idx_folder
from imctrain.data.official import Official
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


def read_fashion_mnist(path: Path, *, checksums: Mapping[str, str], progress: Progress = no_progress) -> RawImages:
    """The four idx files of a folder, gzipped or not; see `official.Reader`."""
    return read_idx_folder(path, CLASSES, progress=progress)


FASHION_MNIST = Official(
    name="fashion_mnist",
    title="Fashion-MNIST",
    expected=Expected((28, 28, 1), CLASSES, {"train": 6000, "test": 1000}),
    tfds="FashionMNIST",
    read=read_fashion_mnist,
    checksums={},
)

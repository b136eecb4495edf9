"""CIFAR-10: 60,000 colour images of 32 x 32 pixels, in cifar-10-binary.tar.gz or cifar-10-python.tar.gz.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Both archives hold the same
60,000 images in the same order: five training batches of 10,000 and one test batch. Kept results are compared on them,
so that another archive is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from imctrain.data.archive import sha256_of_file
from imctrain.data.dataset import RawImages, Source, Split
from imctrain.data.published.cifar import (
    SIDE,
    binary_records,
    folder_of,
    lines,
    names,
    pickled_batch,
    read_members,
    unpickle,
)
from imctrain.data.published.official import Official
from imctrain.data.request import PLAIN, Request
from imctrain.data.verify import Expected
from imctrain.errors import UserError

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

BINARY_FOLDER = "cifar-10-batches-bin"
PYTHON_FOLDER = "cifar-10-batches-py"

SHA256 = {
    # As TFDS has it (url_checksums/cifar10.txt).
    BINARY_FOLDER: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    # As Keras has it (keras.datasets.cifar10).
    PYTHON_FOLDER: "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
}

_KINDS = {BINARY_FOLDER: "cifar-10-binary", PYTHON_FOLDER: "cifar-10-python"}
_BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}


def read_cifar10(path: Path, *, checksums: Mapping[str, str], request: Request = PLAIN) -> RawImages:
    """All images of one of the archives, in its own order; see `official.Reader`."""
    folder = folder_of(path, request)
    if folder not in _KINDS:
        raise UserError(
            f"{path} holds neither {' nor '.join(_KINDS)}: it is not the official archive; download it again"
        )
    request.progress(f"checking {path.name}", 0, 0)
    digest = sha256_of_file(path)
    if digest != checksums.get(folder, digest):
        raise UserError(
            f"{path} has SHA-256 {digest}, but the official archive has {checksums[folder]}: download it again"
        )
    binary = folder == BINARY_FOLDER
    suffix = ".bin" if binary else ""
    meta = "batches.meta.txt" if binary else "batches.meta"
    wanted = {meta, *(name + suffix for batches in _BATCHES.values() for name in batches)}
    found = read_members(path, folder, wanted, request, whole=folder in checksums, title="CIFAR-10")
    splits = {}
    for split, batches in _BATCHES.items():
        read = [_batch(f"{path}: {name}{suffix}", found[name + suffix], binary) for name in batches]
        splits[split] = Split(np.concatenate([b.images for b in read]), np.concatenate([b.labels for b in read]))
    where = f"{path}: {meta}"
    classes = lines(found[meta]) if binary else names(unpickle(where, found[meta]), b"label_names")
    return RawImages(splits, classes, Source(_KINDS[folder], path.name, digest))


def _batch(where: str, content: bytes, binary: bool) -> Split:
    if binary:
        images, labels = binary_records(where, content, 1)
    else:
        images, labels = pickled_batch(where, unpickle(where, content), (b"labels",))
    return Split(images, labels[:, 0])


def is_cifar10(path: Path) -> bool:
    """Whether a path is one of the archives. Raises UserError for a folder that one was extracted to."""
    if path.is_file():
        return folder_of(path) in _KINDS
    if any(
        (path / part / "test_batch").with_suffix(suffix).is_file() for part in ("", *_KINDS) for suffix in ("", ".bin")
    ):
        raise UserError(f"{path} is an extracted CIFAR-10 archive: give the .tar.gz itself, so that it can be verified")
    return False


CIFAR10 = Official(
    name="cifar10",
    title="CIFAR-10",
    files="cifar-10-binary.tar.gz or cifar-10-python.tar.gz",
    expected=Expected((SIDE, SIDE, 3), CLASSES, {"train": 5000, "test": 1000}, enforced=True),
    tfds="Cifar10",
    read=read_cifar10,
    checksums=SHA256,
    recognise=is_cifar10,
    downloads=True,
)

"""CIFAR-10: 60,000 colour images of 32 x 32 pixels, in cifar-10-binary.tar.gz or cifar-10-python.tar.gz.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Both archives hold the same
60,000 images in the same order: five training batches of 10,000 and one test batch.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from imctrain.data.archive import Progress, archive_files, first_member, no_progress, sha256_of_file
from imctrain.data.dataset import RawImages, Source, Split
from imctrain.data.official import Official
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
SIDE = 32
PIXEL_BYTES = 3 * SIDE * SIDE

SHA256 = {
    # As TFDS has it (url_checksums/cifar10.txt).
    BINARY_FOLDER: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    # As Keras has it (keras.datasets.cifar10).
    PYTHON_FOLDER: "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
}

_KINDS = {BINARY_FOLDER: "cifar-10-binary", PYTHON_FOLDER: "cifar-10-python"}
_BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
_PICKLE_NAMES = {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


def read_cifar10(path: Path, *, checksums: Mapping[str, str], progress: Progress = no_progress) -> RawImages:
    """All images of one of the archives, in its own order; see `official.Reader`."""
    folder = _folder_of(path)
    if folder not in _KINDS:
        raise UserError(
            f"{path} holds neither {' nor '.join(_KINDS)}: it is not the official archive; download it again"
        )
    progress(f"checking {path.name}", 0, 0)
    digest = sha256_of_file(path)
    if digest != checksums.get(folder, digest):
        raise UserError(
            f"{path} has SHA-256 {digest}, but the official archive has {checksums[folder]}: download it again"
        )
    suffix = ".bin" if folder == BINARY_FOLDER else ""
    meta = "batches.meta.txt" if folder == BINARY_FOLDER else "batches.meta"
    wanted = {meta, *(name + suffix for names in _BATCHES.values() for name in names)}
    found: dict[str, bytes] = {}
    for member, content in archive_files(path):
        if member.parent.name == folder and member.name in wanted:
            found[member.name] = content
            progress(f"reading {path.name}", len(found), len(wanted))
    missing = sorted(wanted - found.keys())
    if missing:
        raise UserError(f"{path} has no {folder}/{missing[0]}: it is not the official archive; download it again")

    decode = _binary_batch if folder == BINARY_FOLDER else _python_batch
    splits = {}
    for split, names in _BATCHES.items():
        batches = [decode(f"{path}: {name}{suffix}", found[name + suffix]) for name in names]
        images = np.concatenate([batch.images for batch in batches])
        splits[split] = Split(images, np.concatenate([batch.labels for batch in batches]))
    classes = _class_names(f"{path}: {meta}", found[meta], folder)
    return RawImages(splits, classes, Source(_KINDS[folder], path.name, digest))


def is_cifar10(path: Path) -> bool:
    """Whether a path is one of the archives. Raises UserError for a folder that one was extracted to."""
    if path.is_file():
        return _folder_of(path) in _KINDS
    if any(
        (path / part / "test_batch").with_suffix(suffix).is_file() for part in ("", *_KINDS) for suffix in ("", ".bin")
    ):
        raise UserError(f"{path} is an extracted CIFAR-10 archive: give the .tar.gz itself, so that it can be verified")
    return False


def _folder_of(archive: Path) -> str:
    return first_member(archive).split("/")[0]


def _class_names(where: str, content: bytes, folder: str) -> tuple[str, ...]:
    if folder == BINARY_FOLDER:
        return tuple(line.strip() for line in content.decode("ascii", "replace").splitlines() if line.strip())
    names = _unpickle(where, content).get(b"label_names")
    listed = names if isinstance(names, list) else []
    return tuple(name.decode("ascii", "replace") for name in listed if isinstance(name, bytes))


def _planes_to_images(pixels: np.ndarray) -> np.ndarray:
    """[n, 3072] of colour planes, each row by row, to [n, 32, 32, 3]."""
    return np.ascontiguousarray(pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))


def _binary_batch(where: str, content: bytes) -> Split:
    record = 1 + PIXEL_BYTES
    if not content or len(content) % record:
        raise UserError(f"{where} has {len(content)} bytes, which is no whole number of {record}-byte records")
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return Split(_planes_to_images(records[:, 1:]), records[:, 0].astype(np.int32))


def _python_batch(where: str, content: bytes) -> Split:
    batch = _unpickle(where, content)
    pixels = batch.get(b"data")
    labels = np.asarray(batch.get(b"labels", ()), np.int32)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXEL_BYTES):
        raise UserError(f"{where} does not hold uint8 data of {PIXEL_BYTES} bytes an image and as many labels")
    return Split(_planes_to_images(pixels), labels)


class _ArraysOnly(pickle.Unpickler):
    """Rebuilds numpy arrays and plain containers and refuses to import anything else."""

    def find_class(self, module: str, name: str) -> object:
        # The archive was written before numpy renamed this package.
        module = module.replace("numpy.core.", "numpy._core.")
        if (module, name) not in _PICKLE_NAMES:
            raise pickle.UnpicklingError(f"it wants to import {module}.{name}")
        return cast(object, super().find_class(module, name))


def _unpickle(where: str, content: bytes) -> dict[bytes, object]:
    try:
        found = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except Exception as fault:  # a damaged pickle raises almost anything
        raise UserError(f"{where} cannot be unpickled ({fault}): download the archive again") from fault
    if not isinstance(found, dict):
        raise UserError(f"{where} holds a {type(found).__name__}, not a dictionary: download the archive again")
    return found


CIFAR10 = Official(
    name="cifar10",
    title="CIFAR-10",
    expected=Expected((SIDE, SIDE, 3), CLASSES, {"train": 5000, "test": 1000}),
    tfds="Cifar10",
    read=read_cifar10,
    checksums=SHA256,
    recognise=is_cifar10,
    downloads=True,
)

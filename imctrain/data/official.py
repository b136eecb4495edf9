"""The official CIFAR-10 archives: cifar-10-binary.tar.gz and cifar-10-python.tar.gz.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Both archives hold the same
60,000 images in the same order: five training batches of 10,000 and one test batch.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from imctrain.data.archive import Progress, archive_files, no_progress, sha256_of_file
from imctrain.data.dataset import RawImages, Source, Split
from imctrain.errors import UserError

BINARY_FOLDER = "cifar-10-batches-bin"
PYTHON_FOLDER = "cifar-10-batches-py"
SIDE = 32
PIXEL_BYTES = 3 * SIDE * SIDE

OFFICIAL_SHA256 = {
    # As TFDS has it (url_checksums/cifar10.txt).
    BINARY_FOLDER: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    # As Keras has it (keras.datasets.cifar10).
    PYTHON_FOLDER: "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
}

_BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
_PICKLE_NAMES = {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


def read_official(
    path: Path,
    folder: str,
    *,
    checksums: dict[str, str] | None = OFFICIAL_SHA256,
    progress: Progress = no_progress,
) -> RawImages:
    """All images of an official archive, in its own order.

    Args:
        path: the .tar.gz.
        folder: `BINARY_FOLDER` or `PYTHON_FOLDER`: which of the two it is.
        checksums: the SHA-256 that each must have; None to skip the check.

    Raises:
        UserError: a wrong checksum, a damaged archive, a missing or malformed batch.
    """
    progress(f"checking {path.name}", 0, 0)
    digest = sha256_of_file(path)
    if checksums is not None and digest != checksums[folder]:
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
    kind = "cifar-10-binary" if folder == BINARY_FOLDER else "cifar-10-python"
    return RawImages(splits, classes, Source(kind, path.name, digest))


def _class_names(where: str, content: bytes, folder: str) -> tuple[str, ...]:
    if folder == BINARY_FOLDER:
        return tuple(line.strip() for line in content.decode("ascii", "replace").splitlines() if line.strip())
    names = _unpickle(where, content).get(b"label_names", [])
    return tuple(name.decode("ascii", "replace") for name in names)


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

    def find_class(self, module: str, name: str) -> Any:
        # The archive was written before numpy renamed this package.
        module = module.replace("numpy.core.", "numpy._core.")
        if (module, name) not in _PICKLE_NAMES:
            raise pickle.UnpicklingError(f"it wants to import {module}.{name}")
        return super().find_class(module, name)


def _unpickle(where: str, content: bytes) -> dict[bytes, Any]:
    try:
        found = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except Exception as fault:  # a damaged pickle raises almost anything
        raise UserError(f"{where} cannot be unpickled ({fault}): download the archive again") from fault
    if not isinstance(found, dict):
        raise UserError(f"{where} holds a {type(found).__name__}, not a dictionary: download the archive again")
    return found

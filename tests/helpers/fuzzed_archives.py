"""Changed and cut sources of data, each drawn from its seed, and what reading one may give."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from data_archives import (
    SMALL,
    binary_archive,
    cifar100_archive,
    idx_folder,
    python_archive,
    random_splits,
    small_tree,
    svhn_folder,
    tree_archive,
    tree_zip,
)
from PIL import Image

from imctrain.data import OFFICIAL
from imctrain.data.reading.bounds import Bounds
from imctrain.data.recognising import read_source
from imctrain.data.request import Options, Request
from imctrain.data.verify import verify
from imctrain.errors import UserError


def images(kind: str) -> dict[str, bytes]:
    files = {}
    for index, name in enumerate(small_tree()):
        buffer = io.BytesIO()
        pixels = np.random.default_rng(index).integers(0, 256, (9, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, kind)
        files[name] = buffer.getvalue()
    return files


def npz(path: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.integers(0, 256, (20, 4, 4, 3), dtype=np.uint8), "y_train": np.arange(20) % 3}
    np.savez(
        path, **arrays, x_test=arrays["x_train"][:9] / 255, y_test=np.array(["a", "b", "c"])[arrays["y_train"][:9]]
    )
    return path


def table(path: Path) -> Path:
    rows = "".join(f"{name.replace('/', '_')},{name.split('/')[1]}\n" for name in small_tree())
    files = {name.replace("/", "_"): content for name, content in small_tree().items()}
    return tree_zip(path, files | {"labels.csv": ("filename,label\n" + rows).encode()}, 0)


RGB = (32, 32, 3)
SOURCES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "tar": ("mine", lambda p: tree_archive(p / "a.tar", images("PNG"), "w")),
    "tar.gz": ("mine", lambda p: tree_archive(p / "a.tar.gz", images("GIF"))),
    "tar.xz": ("mine", lambda p: tree_archive(p / "a.tar.xz", images("BMP"), "w:xz")),
    "tar.bz2": ("mine", lambda p: tree_archive(p / "a.tar.bz2", images("TIFF"), "w:bz2")),
    "zip": ("mine", lambda p: tree_zip(p / "a.zip", images("JPEG"))),
    "zip stored": ("mine", lambda p: tree_zip(p / "a.zip", images("PNG"), 0)),
    "npz": ("mine", lambda p: npz(p / "a.npz")),
    "table": ("mine", lambda p: table(p / "a.zip")),
    "idx": ("mnist", lambda p: idx_folder(p / "idx", random_splits((28, 28, 1)), packed=False)),
    "idx.gz": ("emnist_digits", lambda p: idx_folder(p / "idx", random_splits((28, 28, 1)), kind="digits")),
    "svhn": ("svhn", lambda p: svhn_folder(p / "svhn", random_splits(RGB, classes=3))),
    "cifar10": ("cifar10", lambda p: binary_archive(p / "a.tar.gz", random_splits(RGB))),
    "cifar10 python": ("cifar10", lambda p: python_archive(p / "a.tar.gz", random_splits(RGB))),
    "cifar100 python": (
        "cifar100",
        lambda p: cifar100_archive(p / "a", random_splits(RGB), OFFICIAL["cifar100"].expected.classes, binary=False),
    ),
}


def changed(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut, or some bytes changed, near the start more often than not, or a piece repeated or taken out."""
    data = bytearray(content)
    way = rng.integers(5)
    if way == 0:
        return bytes(data[: rng.integers(len(data))])
    if way < 3:
        low = len(data) if way == 1 else min(len(data), 600)
        for at in rng.integers(0, low, rng.integers(1, 9)):
            data[at] = rng.integers(256)
        return bytes(data)
    at, size = int(rng.integers(len(data))), int(rng.integers(1, 400))
    return bytes(data[:at] + (data[at : at + size] * 2 if way == 3 else b"") + data[at + size * (way == 4) :])


def check(kind: str, source: Path, scratch: Path) -> str:
    """ "read" or "refused", in one line; anything else that is raised is a failure."""
    name = SOURCES[kind][0]
    options = Options(test_fraction=0.3) if kind == "table" else Options()
    request = Request(options, Bounds(pixels=1 << 22, bytes=1 << 28), scratch=scratch)
    try:
        raw = read_source(name, source, SMALL, request)
        verify(raw, None if name == "mine" else OFFICIAL[name].expected, str(source))
        assert all(image.dtype == np.uint8 for split in raw.splits.values() for image in split.images)
    except UserError as error:
        line = str(error)
    else:
        return "read"
    assert "\n" not in line, f"more than one line: {line!r}"
    return "refused"

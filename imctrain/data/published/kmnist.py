"""Kuzushiji-MNIST: 70,000 grey images of 28 x 28 pixels of cursive Japanese characters, in MNIST's four idx files.

Source: T. Clanuwat et al., "Deep Learning for Classical Japanese Literature", 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imctrain.data.dataset import RawImages
from imctrain.data.published.idx import read_idx
from imctrain.data.published.official import Official
from imctrain.data.request import PLAIN, Request
from imctrain.data.verify import Expected

CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def read_kmnist(path: Path, *, checksums: Mapping[str, str], request: Request = PLAIN) -> RawImages:
    """The four idx files, gzipped or not; see `official.Reader`."""
    return read_idx(path, CLASSES, request)


KMNIST = Official(
    name="kmnist",
    title="Kuzushiji-MNIST",
    files="its four idx files",
    expected=Expected((28, 28, 1), CLASSES, {"train": 6000, "test": 1000}),
    tfds="KMNIST",
    read=read_kmnist,
    idx="",
)

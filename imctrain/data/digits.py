"""The embedded data set: scikit-learn's 1,797 handwritten digits (UCI optdigits), 8 x 8 pixels, 17 grey levels.

The split is fixed and needs no random numbers: images are sorted by class, then by the SHA-256 of their pixels, and
every fifth goes to the test set. That gives 1,437 training and 360 test images, each class within one image of 4 : 1.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from imctrain.data.dataset import Dataset, Source, Split, channel_statistics
from imctrain.data.verify import Expected

NAME = "digits"
TEST_EVERY = 5
GREY_LEVELS = 16
DIGITS = Expected(
    shape=(8, 8, 1),
    classes=tuple(str(digit) for digit in range(10)),
    per_class=None,
    totals={"train": 1437, "test": 360},
)
"""What they are, for what needs no pixels."""


@functools.cache
def load_digits() -> Dataset:
    """The digits as uint8 [n, 8, 8, 1], grey level 16 scaled to 255; read once in a process."""
    levels, labels = _bundled()
    images = np.round(levels * (255 / GREY_LEVELS)).astype(np.uint8)[..., None]

    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    order = np.array(sorted(range(len(labels)), key=lambda i: (labels[i], digests[i])))
    in_test = np.zeros(len(labels), bool)
    in_test[order[::TEST_EVERY]] = True

    train = _fixed(images[~in_test], labels[~in_test])
    test = _fixed(images[in_test], labels[in_test])
    mean, std = channel_statistics(train.images)
    return Dataset(
        name=NAME,
        train=train,
        test=test,
        classes=DIGITS.classes,
        shape=DIGITS.shape,
        mean=mean,
        std=std,
        source=Source("embedded", file="scikit-learn load_digits"),
    )


def _bundled() -> tuple[np.ndarray, np.ndarray]:
    """Grey levels 0 to 16, float64 [n, 8, 8], and classes, int32 [n], from scikit-learn's own file.

    Importing scikit-learn takes longer than importing JAX: it is asked only where it keeps the file elsewhere.
    """
    found = importlib.util.find_spec("sklearn")
    for folder in found.submodule_search_locations or () if found else ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            rows = np.loadtxt(file, delimiter=",")
            return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int32)
    from sklearn.datasets import load_digits as bundled

    bunch = bundled()
    return np.asarray(bunch.images), np.asarray(bunch.target, np.int32)


def _fixed(images: np.ndarray, labels: np.ndarray) -> Split:
    """A split that nobody can change: all who load the digits share it."""
    images.flags.writeable = labels.flags.writeable = False
    return Split(images, labels)

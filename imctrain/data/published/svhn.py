"""SVHN: 99,289 colour images of 32 x 32 pixels, house numbers cut to single digits, in MATLAB files (format 2).

Source: Y. Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning", 2011. The files hold
X [32, 32, 3, n] and y [n, 1], where the digit 0 has the label 10; here it has the label 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from imctrain.data.archive import sha256_of_file
from imctrain.data.dataset import RawImages, Source, Split
from imctrain.data.published.official import Official
from imctrain.data.reading.names import shown
from imctrain.data.request import PLAIN, Request
from imctrain.data.verify import Expected
from imctrain.errors import UserError

CLASSES = tuple("0123456789")
SIDE = 32
FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}
EXTRA = "extra_32x32.mat"
FULL_IMAGES = "digitStruct.mat"
_LARGEST = 1 << 30
"""Bytes of the images of a file, which scipy reads as a whole: train has 225 MB."""


def read_svhn(path: Path, *, checksums: Mapping[str, str], request: Request = PLAIN) -> RawImages:
    """The files train_32x32.mat and test_32x32.mat of a folder; see `official.Reader`."""
    splits, digests = {}, []
    for split, name in FILES.items():
        file = path / name
        if not file.is_file():
            raise UserError(f"{shown(path)} has no {name}: the folder must hold {' and '.join(FILES.values())}")
        request.progress(f"reading {name}", 0, 0)
        splits[split] = _read(file)
        digests.append(f"{name}\0{sha256_of_file(file)}\n")
    if (path / EXTRA).is_file():
        request.tell(f"{EXTRA} is not used: its images are easier than those of the two splits")
    digest = hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
    return RawImages(splits, CLASSES, Source("svhn", path.name, digest))


def _read(file: Path) -> Split:
    from scipy.io import loadmat, whosmat

    where = shown(file)
    try:
        # Sizes are in the headers; nothing is unpacked before they are known.
        shapes = {name: shape for name, shape, _ in whosmat(str(file))}
        if "X" in shapes and int(np.prod(shapes["X"], dtype=object)) > _LARGEST:
            raise UserError(f"{where} has X of shape {shapes['X']}: more than {_LARGEST} bytes are not read at once")
        found = loadmat(str(file), variable_names=["X", "y"]) if {"X", "y"} <= shapes.keys() else {}
    except UserError:
        raise
    except Exception as fault:  # scipy's reader raises almost anything at a damaged file
        raise UserError(f"{where} cannot be read as a MATLAB file ({type(fault).__name__}): get it again") from fault
    images, labels = found.get("X"), found.get("y")
    if not isinstance(images, np.ndarray) or not isinstance(labels, np.ndarray):
        raise UserError(f"{where} has no arrays X and y: SVHN's format 2 holds X [32, 32, 3, n] and y [n, 1]")
    if images.dtype != np.uint8 or images.ndim != 4 or labels.size != images.shape[-1]:
        raise UserError(
            f"{where} has X of shape {images.shape} and type {images.dtype}, and y of shape {labels.shape}: SVHN's "
            "format 2 holds uint8 X [32, 32, 3, n] and y [n, 1]"
        )
    digits = np.asarray(labels).reshape(-1)
    if not np.isin(digits, range(1, 11)).all():
        raise UserError(f"{where} has labels other than 1 to 10: it is not SVHN's; get it again")
    return Split(np.moveaxis(images, -1, 0), (digits % 10).astype(np.int32))


def is_svhn(path: Path) -> bool:
    """Whether a folder holds the files. Raises UserError for a single one, and for full images (format 1)."""
    if path.is_file():
        if path.name in (*FILES.values(), EXTRA):
            raise UserError(
                f"{shown(path)} is one of SVHN's files: give the folder that holds {' and '.join(FILES.values())}"
            )
        return False
    if any((path / name).is_file() for name in (*FILES.values(), EXTRA)):
        return True
    if any((folder / FULL_IMAGES).is_file() for folder in (path, path / "train", path / "test")):
        raise UserError(f"{shown(path)} {FORMAT_1}")
    return False


FORMAT_1 = (
    f"is SVHN's format 1, full images with boxes in {FULL_IMAGES}, of several digits each: networks of one class an "
    f"image take format 2, {' and '.join(FILES.values())}"
)

SVHN = Official(
    name="svhn",
    title="SVHN",
    files="the folder of train_32x32.mat and test_32x32.mat",
    expected=Expected(
        (SIDE, SIDE, 3),
        CLASSES,
        {
            "train": (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
            "test": (1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595),
        },
    ),
    read=read_svhn,
    recognise=is_svhn,
)

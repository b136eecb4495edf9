"""The idx format of MNIST and its descendants: four files, gzipped or not, in one folder.

Source: Y. LeCun, "The MNIST database": two zero bytes, the element type (0x08: unsigned byte), the number of
dimensions, the dimensions as big-endian 32-bit integers, then the elements in C order.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np

from imctrain.data.archive import Progress, no_progress
from imctrain.data.dataset import RawImages, Source, Split
from imctrain.errors import UserError

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_UNSIGNED_BYTE = 0x08


def read_idx_folder(path: Path, classes: tuple[str, ...], *, progress: Progress = no_progress) -> RawImages:
    """The images and labels of the four files, as uint8 [n, h, w, 1].

    Raises:
        UserError: a missing, damaged or malformed file, or as many images as labels not.
    """
    if not path.is_dir():
        raise UserError(
            f"{path} is not a folder: give the folder that holds {FILES['train'][0]}.gz and its three siblings"
        )
    names = [name for pair in FILES.values() for name in pair]
    found = {}
    listing = []
    for done, name in enumerate(names):
        progress(f"reading {name}", done, len(names))
        content = _content(path, name)
        found[name] = _parse(path / name, content)
        listing.append(f"{name}\0{hashlib.sha256(content).hexdigest()}\n")
    splits = {}
    for split, (image_file, label_file) in FILES.items():
        images, labels = found[image_file], found[label_file]
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise UserError(
                f"{path}: {image_file} has shape {images.shape} and {label_file} {labels.shape}: "
                "expected [n, height, width] and [n]"
            )
        splits[split] = Split(images[..., None], labels.astype(np.int32))
    digest = hashlib.sha256("".join(sorted(listing)).encode()).hexdigest()
    return RawImages(splits, classes, Source("idx", path.name, digest))


def _content(folder: Path, name: str) -> bytes:
    packed, plain = folder / f"{name}.gz", folder / name
    try:
        if packed.is_file():
            with gzip.open(packed) as file:
                return file.read()
        if plain.is_file():
            return plain.read_bytes()
    except (OSError, EOFError, zlib.error) as fault:
        raise UserError(f"{packed if packed.is_file() else plain} cannot be read ({fault}): get it again") from fault
    raise UserError(f"{folder} has neither {name}.gz nor {name}: the folder must hold all four idx files")


def _parse(path: Path, content: bytes) -> np.ndarray:
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE or content[3] == 0:
        raise UserError(f"{path} is no idx file of unsigned bytes: it starts with {content[:4].hex() or 'nothing'}")
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise UserError(f"{path} ends inside its header: get it again")
    shape = struct.unpack(f">{content[3]}I", content[4:header])
    if len(content) - header != int(np.prod(shape, dtype=np.int64)):
        raise UserError(f"{path} has {len(content) - header} bytes of data for shape {shape}: get it again")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)

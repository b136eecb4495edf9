"""The idx format of MNIST and its descendants: four files, gzipped or not, in a folder or an archive.

Source: Y. LeCun, "The MNIST database": two zero bytes, the element type (0x08: unsigned byte), the number of
dimensions, the dimensions as big-endian 32-bit integers, then the elements in C order.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from imctrain.data.archive import open_files
from imctrain.data.dataset import Labels, RawImages, Source, StreamedSplit
from imctrain.data.reading.bounds import Meter
from imctrain.data.reading.faults import readable
from imctrain.data.reading.files import Entry, Files
from imctrain.data.reading.names import shown
from imctrain.data.reading.unpack import Readable, Unpacked
from imctrain.data.request import PLAIN, Request
from imctrain.data.spool import Spool
from imctrain.errors import UserError

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_NAME = re.compile(
    r"(?:(?P<set>\w+)-(?P<kind>\w+)-)?(?P<split>train|t10k|test)-(?P<role>images|labels)[-.]idx[13]-ubyte(\.gz)?"
)
_UNSIGNED_BYTE = 0x08
_BLOCK = 4 << 20
_LARGEST = 1 << 28
"""Labels of a file."""


@dataclass(frozen=True)
class IdxFile:
    """What the name of an idx file says.

    Attributes:
        split: "train" or "test". role: "images" or "labels". kind: EMNIST's split ("letters"), or empty.
    """

    split: str
    role: str
    kind: str

    @property
    def standard(self) -> str:
        """MNIST's name of it."""
        return FILES[self.split][0 if self.role == "images" else 1]


def idx_file(path: str) -> IdxFile | None:
    """By the name of a file; None for another file."""
    found = _NAME.fullmatch(path.rsplit("/", 1)[-1].lower())
    if found is None:
        return None
    return IdxFile("train" if found["split"] == "train" else "test", found["role"], found["kind"] or "")


@dataclass
class _Found:
    images: dict[str, Spool] = field(default_factory=dict)
    labels: dict[str, Labels] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)


def read_idx(
    path: Path,
    classes: tuple[str, ...] = (),
    request: Request = PLAIN,
    *,
    kind: str = "",
    transposed: bool = False,
    first_label: int = 0,
) -> RawImages:
    """The images and labels of the four files, as uint8 [n, h, w, 1].

    Args:
        path: folder or archive. classes: names of the labels; without any, the labels that occur are their names.
        request: how it is read. kind: of EMNIST's files, those of one split.
        transposed: images are stored column by column (EMNIST). first_label: the smallest label of the files.

    Raises:
        UserError: a missing, damaged or malformed file, or as many images as labels not.
    """
    found = _Found()
    files = open_files(path, request.bounds)
    for entry in files:
        named = idx_file(entry.path) if entry.kind == "file" else None
        if named is None or named.kind != kind:
            continue
        if named.standard in found.shapes:
            request.tell(f"{shown(entry.path)} is not used: another file holds the same")
            continue
        request.progress(f"reading {entry.parts[-1]}", 0, 0)
        _take(files, entry, named, found, request, transposed)
    prefix = f"emnist-{kind}-" if kind else ""
    for split, names in FILES.items():
        missing = next((name for name in names if name not in found.shapes), None)
        if missing is not None:
            name = prefix + (missing.replace("t10k", "test") if kind else missing)
            raise UserError(f"{shown(path)} has neither {name}.gz nor {name}: all four idx files are needed")
        images, labels = (found.shapes[name] for name in names)
        if len(images) != 3 or len(labels) != 1 or images[0] != labels[0]:
            raise UserError(
                f"{shown(path)}: {names[0]} has shape {images} and {names[1]} {labels}: "
                "expected [n, height, width] and [n]"
            )
        if not images[0]:
            raise UserError(f"{shown(path)} has no images in its {split} split")
    if len({found.images[split].shape[1:] for split in FILES}) > 1:
        shapes = " and ".join(str(found.shapes[names[0]]) for names in FILES.values())
        raise UserError(f"{shown(path)} has images of different sizes, {shapes}: get it again")
    names_of, labels_of = _labels(found.labels, classes, first_label)
    splits = {split: StreamedSplit(found.images[split], labels_of[split]) for split in FILES}
    digest = hashlib.sha256("".join(sorted(found.digests)).encode()).hexdigest()
    return RawImages(splits, names_of, Source("idx", path.name, digest))


def _labels(
    found: dict[str, Labels], classes: tuple[str, ...], first_label: int
) -> tuple[tuple[str, ...], dict[str, Labels]]:
    if classes:
        return classes, {split: (labels - first_label).astype(np.int32) for split, labels in found.items()}
    occurring = np.unique(np.concatenate(list(found.values())))
    names = tuple(str(label) for label in occurring)
    return names, {split: np.searchsorted(occurring, labels).astype(np.int32) for split, labels in found.items()}


def _take(files: Files, entry: Entry, named: IdxFile, found: _Found, request: Request, transposed: bool) -> None:
    """Reads one file: labels into memory, images into a spool, block by block."""
    where = Path(files.path / entry.path if files.path.is_dir() else f"{files.path}: {entry.path}")
    digest = hashlib.sha256()
    with readable(where), closing(entry.stream()) as packed:
        stream = Unpacked(packed, Meter(where, max(entry.size, 1), request.bounds))
        header, shape = _header(stream, shown(where))
        digest.update(header)
        found.shapes[named.standard] = shape
        if len(shape) == 3 and named.role == "images" and 0 not in shape:
            height, width = shape[1:] if not transposed else shape[:0:-1]
            spool = Spool((shape[0], height, width, 1), request.scratch, request.bounds, shown(where))
            start = 0
            for block in _blocks(stream, shape, shown(where)):
                digest.update(block)
                images = np.frombuffer(block, np.uint8).reshape(-1, *shape[1:])
                images = images.transpose(0, 2, 1) if transposed else images
                spool.write(start, np.ascontiguousarray(images)[..., None])
                start += len(images)
                request.progress(f"reading {entry.parts[-1]}", start, shape[0])
            found.images[named.split] = spool
        else:
            if math.prod(shape) > _LARGEST:
                raise UserError(f"{shown(where)} says that it has the shape {shape}: it is damaged")
            content = b"".join(_blocks(stream, shape, shown(where)))
            digest.update(content)
            found.labels[named.split] = np.frombuffer(content, np.uint8).astype(np.int32)
    found.digests.append(f"{named.standard}\0{digest.hexdigest()}\n")


def _header(stream: Readable, where: str) -> tuple[bytes, tuple[int, ...]]:
    """The bytes before the data, and the shape that they say."""
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] != _UNSIGNED_BYTE or start[3] == 0:
        raise UserError(f"{where} is no idx file of unsigned bytes: it starts with {start.hex() or 'nothing'}")
    sizes = stream.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise UserError(f"{where} ends inside its header: get it again")
    return start + sizes, struct.unpack(f">{start[3]}I", sizes)


def _blocks(stream: Readable, shape: tuple[int, ...], where: str) -> Iterator[bytes]:
    """The data, a whole number of rows at a time."""
    row = math.prod(shape[1:])
    total = math.prod(shape)
    step = max(_BLOCK // max(row, 1), 1) * row
    done = 0
    while done < total:
        block = stream.read(min(step, total - done))
        done += len(block)
        if not block or len(block) % row:
            raise UserError(f"{where} has {done} bytes of data for shape {shape}: get it again")
        yield block
    if stream.read(1):
        raise UserError(f"{where} has more than {total} bytes of data for shape {shape}: get it again")


def has_idx(path: Path, request: Request = PLAIN) -> set[str] | None:
    """Kinds of the idx files of a source ("" for MNIST's names); None without any. Looks at the first names only."""
    kinds = set()
    for count, entry in enumerate(open_files(path, request.bounds, follow_links=True)):
        named = idx_file(entry.path) if entry.kind == "file" else None
        if named is not None:
            kinds.add(named.kind)
        if count > 200 and not kinds:
            break
    return kinds or None

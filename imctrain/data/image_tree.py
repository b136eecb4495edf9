"""A tree of image files, in a folder or a tar archive: [PREFIX/]train/CLASS/IMAGE and [PREFIX/]test/CLASS/IMAGE."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from imctrain.data.archive import Progress, archive_files, folder_files, no_progress, sha256_of_file
from imctrain.data.dataset import RawImages, Source, Split
from imctrain.errors import UserError

SPLITS = ("train", "test")
_CHANNELS = {"RGB": 3, "L": 1}
_LOSSY_FORMATS = {"JPEG", "MPO", "WEBP"}
_LAYOUT = "train/CLASS/IMAGE and test/CLASS/IMAGE"


def read_tree(path: Path, *, progress: Progress = no_progress) -> RawImages:
    """Every image of the tree, decoded; classes and images sorted by name.

    Files outside `train` and `test` and hidden files are left out. All images must have one size and be 8-bit RGB or
    8-bit grey.

    Raises:
        UserError: a damaged archive, another layout, a class that is not in both splits, a file that is no image, or
            images of different sizes.
    """
    progress(f"reading {path.name}", 0, 0)
    files = folder_files(path) if path.is_dir() else archive_files(path)
    tree, listing = _sorted_tree(path, files)
    digest = hashlib.sha256(listing).hexdigest() if path.is_dir() else sha256_of_file(path)
    classes = _common_classes(path, tree)

    total = sum(len(images) for split in tree.values() for images in split.values())
    decoder = _Decoder(path, total, progress)
    splits = {}
    for split in SPLITS:
        images = np.empty((sum(map(len, tree[split].values())), *decoder.shape_of(tree)), np.uint8)
        labels = np.empty(len(images), np.int32)
        row = 0
        for label, name in enumerate(classes):
            for file, content in sorted(tree[split].pop(name).items()):
                images[row] = decoder.decode(f"{split}/{name}/{file}", content)
                labels[row] = label
                row += 1
        splits[split] = Split(images, labels)
    return RawImages(splits, classes, Source("image-tree", path.name, digest, lossy=decoder.lossy))


Tree = dict[str, dict[str, dict[str, bytes]]]
"""Content by split, class and file name."""


def _sorted_tree(path: Path, files: Iterable[tuple[PurePosixPath, bytes]]) -> tuple[Tree, bytes]:
    """The files by split, class and name, and a canonical listing of them for the checksum of a folder."""
    tree: Tree = {split: {} for split in SPLITS}
    listing = []
    prefixes = set()
    for file, content in files:
        parts = file.parts
        if len(parts) < 3 or parts[-3] not in SPLITS or any(part.startswith(".") for part in parts):
            continue
        split, name, image = parts[-3:]
        prefixes.add(parts[:-3])
        if len(prefixes) > 1:
            raise UserError(f"{path} holds more than one tree of {_LAYOUT}: give the path of one of them")
        tree[split].setdefault(name, {})[image] = content
        listing.append(f"{split}/{name}/{image}\0{hashlib.sha256(content).hexdigest()}\n")
    return tree, "".join(sorted(listing)).encode()


def _common_classes(path: Path, tree: Tree) -> tuple[str, ...]:
    for split in SPLITS:
        if not tree[split]:
            raise UserError(f"{path} has no {split}/CLASS/IMAGE: an image tree holds {_LAYOUT}")
    train, test = (set(tree[split]) for split in SPLITS)
    if train != test:
        name = sorted(train ^ test)[0]
        here, there = ("train", "test") if name in train else ("test", "train")
        raise UserError(f"{path} has {here}/{name} but no {there}/{name}: both splits need the same classes")
    return tuple(sorted(train))


class _Decoder:
    """Decodes images that must all have the shape of the first."""

    def __init__(self, path: Path, total: int, progress: Progress):
        self._path = path
        self._total = total
        self._progress = progress
        self._done = 0
        self._shape: tuple[int, int, int] | None = None
        self._first = ""
        self.lossy = False

    def shape_of(self, tree: Tree) -> tuple[int, int, int]:
        """(height, width, channels), found from the first image of the tree."""
        if self._shape is None:
            name = min(tree["train"])
            file = min(tree["train"][name])
            self._first = f"train/{name}/{file}"
            self._shape = self._pixels(self._first, tree["train"][name][file]).shape
        return self._shape

    def decode(self, file: str, content: bytes) -> np.ndarray:
        """uint8 [h, w, c]."""
        pixels = self._pixels(file, content)
        if pixels.shape != self._shape:
            raise UserError(
                f"{self._path}: {file} is {_size(pixels.shape)}, but {self._first} is {_size(self._shape)}: "
                "all images must have one size"
            )
        self._done += 1
        if self._done % 500 == 0 or self._done == self._total:
            self._progress(f"decoding {self._path.name}", self._done, self._total)
        return pixels

    def _pixels(self, file: str, content: bytes) -> np.ndarray:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(io.BytesIO(content)) as image:
                mode = image.mode
                self.lossy |= image.format in _LOSSY_FORMATS
                pixels = np.asarray(image)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
            raise UserError(f"{self._path}: {file} is no image that can be decoded ({type(fault).__name__})") from fault
        if mode not in _CHANNELS:
            raise UserError(f"{self._path}: {file} has pixel mode {mode}: allowed is 8-bit RGB or 8-bit grey (L)")
        return pixels.reshape(*pixels.shape[:2], _CHANNELS[mode])


def _size(shape: tuple[int, ...] | None) -> str:
    return "x".join(map(str, shape or ()))

"""Decodes a prepared data set once, into uint8 arrays that later runs map into memory.

A cache is a folder `.decoded/NAME-VERSION-FINGERPRINT` of the data directory. The fingerprint covers the record files,
so records that change get another cache and the old one is removed. It is written under a temporary name and renamed,
so it is complete whenever it exists. A cache that cannot be written costs time and nothing else: the data set is
then held in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from imctrain.data.archive import Progress, no_progress
from imctrain.data.dataset import Images, Labels, Split, channel_statistics, content_hash
from imctrain.data.prepared import image_and_label, quiet_tfds, read_builder
from imctrain.errors import UserError

FOLDER = ".decoded"
LAYOUT = 1
"""Raised when the files below change, so that older caches are not read."""
_FACTS = "cache.json"
_SPLITS = ("train", "test")
_SCRATCH_PREFIX = ".making-"
_ABANDONED_S = 24 * 3600.0


@dataclass(frozen=True)
class Decoded:
    """A decoded data set: its splits, mean and standard deviation of each channel of the training images, and the hash
    of its content (empty where nothing keeps it: the data set is then hashed when somebody asks)."""

    train: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    content: str = ""


def fingerprint(records: Path) -> str:
    """Hash of what a record folder holds: descriptions by content, records by name, size and time of change."""
    digest = hashlib.sha256(f"layout {LAYOUT}\n".encode())
    for file in sorted(records.iterdir()):
        if not file.is_file():
            continue
        facts = file.stat()
        digest.update(f"{file.name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
        if file.suffix in (".json", ".txt"):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def cache_path(records: Path, name: str, data_dir: Path) -> Path:
    """Folder that the cache of `records` has, or would have."""
    return data_dir / FOLDER / f"{name.replace('/', '-')}-{records.name}-{fingerprint(records)}"


def decoded(records: Path, name: str, data_dir: Path, progress: Progress = no_progress) -> Decoded:
    """The data set in `records`, from its cache, which is made first if there is none.

    Args:
        records: folder of a prepared TFDS data set.
        name: the data set's name, for messages and the cache's name.
        data_dir: folder that holds the cache.
        progress: told about decoding.

    Raises:
        UserError: records in another format than ArrayRecord, no single image and label, images that are not 8 bit
            or differ in size, or no test split.
    """
    folder = cache_path(records, name, data_dir)
    if folder.is_dir():
        # A damaged cache is made again.
        with contextlib.suppress(OSError, ValueError, KeyError):
            return _with_content(folder, _open(folder))
    sources = _data_sources(records, name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=folder.parent))
        scratch.chmod(0o755)  # mkdtemp's folder is for one user; data directories are shared
    except OSError:
        return _decode(sources, name, progress, scratch=None)
    try:
        result = _write(sources, name, progress, scratch)
        if result is None:
            return _decode(sources, name, progress, scratch=None)
        return _publish(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _open(folder: Path) -> Decoded:
    facts = json.loads((folder / _FACTS).read_text())
    train, test = (
        Split(np.load(folder / f"{split}_images.npy", mmap_mode="r"), np.load(folder / f"{split}_labels.npy"))
        for split in _SPLITS
    )
    return Decoded(train, test, tuple(facts["mean"]), tuple(facts["std"]), facts.get("content", ""))


def _with_content(folder: Path, found: Decoded) -> Decoded:
    """A cache that was made before caches kept the hash of their content gets it now, where it can be written."""
    if found.content:
        return found
    found = replace(found, content=content_hash(found.train, found.test))
    with contextlib.suppress(OSError):
        facts = json.loads((folder / _FACTS).read_text()) | {"content": found.content}
        scratch = folder / f".{os.getpid()}-{_FACTS}"
        scratch.write_text(json.dumps(facts))
        scratch.replace(folder / _FACTS)
    return found


def _write(sources: dict[str, _Records], name: str, progress: Progress, scratch: Path) -> Decoded | None:
    """Decodes into files of `scratch`; None if they cannot be written (a full disk, say)."""
    try:
        result = _decode(sources, name, progress, scratch)
        for split, part in zip(_SPLITS, (result.train, result.test), strict=True):
            np.save(scratch / f"{split}_labels.npy", part.labels)
        result = replace(result, content=content_hash(result.train, result.test))
        facts = {"name": name, "mean": result.mean, "std": result.std, "content": result.content}
        (scratch / _FACTS).write_text(json.dumps(facts))
        for file in scratch.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        return result
    except OSError:
        return None


def _publish(scratch: Path, folder: Path) -> Decoded:
    """Renames the finished cache into place and removes caches of older records of the same data set."""
    if folder.is_dir():  # damaged, or another process was faster
        with contextlib.suppress(OSError, ValueError, KeyError):
            return _open(folder)
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        scratch.rename(folder)
    stem = folder.name.rpartition("-")[0]
    for other in folder.parent.iterdir():
        superseded = other != folder and other.name.rpartition("-")[0] == stem
        if superseded or _abandoned(other):
            shutil.rmtree(other, ignore_errors=True)
    return _open(folder)


def _abandoned(folder: Path) -> bool:
    """Whether a process that was killed while it wrote a cache left this folder."""
    try:
        return folder.name.startswith(_SCRATCH_PREFIX) and time.time() - folder.stat().st_mtime > _ABANDONED_S
    except OSError:
        return False


@dataclass(frozen=True)
class _Records:
    """One split's records, undecoded, and the keys of the features to take."""

    examples: Sequence[Mapping[str, bytes]]
    image: str
    label: str


def _data_sources(records: Path, name: str) -> dict[str, _Records]:
    import tensorflow_datasets as tfds

    builder = read_builder(records)
    info = builder.info
    image, label = image_and_label(info, name)
    dtype = np.dtype(info.features[image].np_dtype)
    if dtype != np.uint8:
        raise UserError(f"data set {name} has {dtype} images: imctrain trains on 8-bit images")
    held_out = next((split for split in ("test", "validation") if split in info.splits), None)
    if "train" not in info.splits or held_out is None:
        raise UserError(
            f"data set {name} has the splits {', '.join(info.splits) or 'none'}: "
            "needed are train and test (or validation)"
        )
    try:
        with quiet_tfds():
            parts = {
                split: builder.as_data_source(split=part, decoders={image: tfds.decode.SkipDecoding()})
                for split, part in zip(_SPLITS, ("train", held_out), strict=True)
            }
    except NotImplementedError as fault:
        raise UserError(
            f"data set {name} in {records} is stored as {info.file_format.value}: prepare it with "
            'download_and_prepare(file_format="array_record")'
        ) from fault
    return {split: _Records(part, image, label) for split, part in parts.items()}


def _decode(sources: dict[str, _Records], name: str, progress: Progress, scratch: Path | None) -> Decoded:
    """Decodes both splits, into memory-mapped files of `scratch` or into memory."""
    shape = _pixels(sources["train"].examples[0][sources["train"].image], name, 0).shape
    splits = {}
    for split, records in sources.items():
        count = len(records.examples)
        images = _new_images((count, *shape), None if scratch is None else scratch / f"{split}_images.npy")
        labels: Labels = np.empty(count, np.int32)
        for index in range(count):
            example = records.examples[index]
            pixels = _pixels(example[records.image], name, index)
            if pixels.shape != shape:
                raise UserError(
                    f"data set {name} has images of different sizes (the first is {_size(shape)}, {split} image "
                    f"{index} is {_size(pixels.shape)}): resize them and import them as an image tree"
                )
            images[index] = pixels
            labels[index] = example[records.label]
            if index % 1000 == 999 or index == count - 1:
                progress(f"decoding {name} {split} images", index + 1, count)
        if isinstance(images, np.memmap):
            images.flush()
        splits[split] = Split(images, labels)
    mean, std = channel_statistics(splits["train"].images)
    return Decoded(splits["train"], splits["test"], mean, std)


def _new_images(shape: tuple[int, ...], file: Path | None) -> Images:
    if file is None:
        return np.empty(shape, np.uint8)
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)


def _pixels(encoded: bytes, name: str, index: int) -> Images:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded)) as image:
            pixels = np.asarray(image)
    except (OSError, ValueError, SyntaxError) as fault:
        raise UserError(f"data set {name}: image {index} cannot be decoded ({fault}): import it again") from fault
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))

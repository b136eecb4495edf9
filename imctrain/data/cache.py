"""Decodes a prepared data set once, into uint8 arrays that later runs map into memory.

A cache is a folder `.decoded/NAME-VERSION-FINGERPRINT` of the data directory. The fingerprint covers the record files,
so records that change get another cache and the old one is removed. It is written under a temporary name and renamed,
so it is complete whenever it exists. Its room is taken before anything is decoded, and a full disk is told with the
bytes that are needed. A folder that may not be written to at all costs time and nothing else: the data set is then held
in memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from imctrain.data.archive import Progress, no_progress
from imctrain.data.dataset import Images, Labels, Split, channel_statistics, content_hash
from imctrain.data.records import GIVEN, SPLITS, Records, decode_image, records_of
from imctrain.data.room import allocate, is_full, no_room
from imctrain.errors import UserError

FOLDER = ".decoded"
LAYOUT = 1
"""Raised when the files below change, so that older caches are not read."""
_FACTS = "cache.json"
_SCRATCH_PREFIX = ".making-"
_LOCK = "lock"
_ABANDONED_S = 24 * 3600.0
_EMPTY_S = 3600.0


@dataclass(frozen=True)
class Decoded:
    """A decoded data set: its splits, mean and standard deviation of each channel of the training images, and the hash
    of its content (empty where nothing keeps it: the data set is then hashed when somebody asks). `validation`: images
    that the data set keeps for validation, beside test images, and `given_content`, their hash."""

    train: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    content: str = ""
    validation: Split | None = None
    given_content: str = ""


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
            return _with_content(folder, open_cache(folder))
    sources = records_of(records, name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.parent)
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=folder.parent))
        scratch.chmod(0o755)  # mkdtemp's folder is for one user; data directories are shared
    except OSError as fault:
        if is_full(fault):
            raise no_room(fault, data_dir, _size_of(sources, name), f"the decoded {name}") from fault
        return _decode(sources, name, progress, scratch=None)
    try:
        with _in_use(scratch):
            _write(sources, name, progress, scratch)
            return _publish(scratch, folder)
    except OSError as fault:
        if is_full(fault):
            raise no_room(fault, data_dir, _size_of(sources, name), f"the decoded {name}") from fault
        return _decode(sources, name, progress, scratch=None)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _in_use(scratch: Path) -> Iterator[None]:
    """Holds a lock in a folder, by which others know that its process lives."""
    with (scratch / _LOCK).open("w") as lock:
        with contextlib.suppress(OSError):  # some file systems have no locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _remove_abandoned(parent: Path) -> None:
    """Removes what killed processes left, so that its room can be used."""
    for other in parent.glob(f"{_SCRATCH_PREFIX}*"):
        if _abandoned(other):
            shutil.rmtree(other, ignore_errors=True)


def open_cache(folder: Path) -> Decoded:
    facts = json.loads((folder / _FACTS).read_text())
    parts = {
        split: Split(np.load(folder / f"{split}_images.npy", mmap_mode="r"), np.load(folder / f"{split}_labels.npy"))
        for split in facts.get("splits", SPLITS)
    }
    mean, std = tuple(facts["mean"]), tuple(facts["std"])
    content, given = facts.get("content", ""), facts.get("given_content", "")
    return Decoded(parts["train"], parts["test"], mean, std, content, parts.get(GIVEN), given)


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


def _write(sources: dict[str, Records], name: str, progress: Progress, scratch: Path) -> None:
    """Decodes into files of `scratch`. Raises OSError where they cannot be written (a full disk, say)."""
    result = _decode(sources, name, progress, scratch)
    parts = {"train": result.train, "test": result.test}
    if result.validation is not None:
        parts[GIVEN] = result.validation
    for split, part in parts.items():
        np.save(scratch / f"{split}_labels.npy", part.labels)
    content = content_hash(result.train, result.test)
    facts: dict[str, object] = {"name": name, "splits": list(parts), "mean": result.mean, "std": result.std}
    facts["content"] = content
    if result.validation is not None:
        facts["given_content"] = content_hash(result.validation)
    (scratch / _FACTS).write_text(json.dumps(facts))
    for file in scratch.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def _publish(scratch: Path, folder: Path) -> Decoded:
    """Renames the finished cache into place and removes caches of older records of the same data set."""
    if folder.is_dir():  # damaged, or another process was faster
        with contextlib.suppress(OSError, ValueError, KeyError):
            return open_cache(folder)
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        scratch.rename(folder)
    stem = folder.name.rpartition("-")[0]
    for other in folder.parent.iterdir():
        superseded = other != folder and other.name.rpartition("-")[0] == stem
        if superseded or _abandoned(other):
            shutil.rmtree(other, ignore_errors=True)
    (folder / _LOCK).unlink(missing_ok=True)
    return open_cache(folder)


def _abandoned(folder: Path) -> bool:
    """Whether a process that was killed while it wrote a cache left this folder: nobody holds its lock."""
    if not folder.name.startswith(_SCRATCH_PREFIX):
        return False
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except FileNotFoundError:  # of an earlier version, or made a moment ago
        with contextlib.suppress(OSError):
            limit = _ABANDONED_S if any(folder.iterdir()) else _EMPTY_S
            return time.time() - folder.stat().st_mtime > limit
        return False
    except OSError:
        return False


def _shape(sources: dict[str, Records], name: str) -> tuple[int, ...]:
    """(height, width, channels) of the first training image."""
    return decode_image(sources["train"][0][0], name, 0).shape


def _size_of(sources: dict[str, Records], name: str) -> int:
    """Bytes of all decoded images."""
    return sum(len(records.examples) for records in sources.values()) * math.prod(_shape(sources, name))


def _decode(sources: dict[str, Records], name: str, progress: Progress, scratch: Path | None) -> Decoded:
    """Decodes all splits, into files of `scratch` that are then mapped, or into memory."""
    shape = _shape(sources, name)
    files = {}
    if scratch is not None:
        # The room of all splits is taken first: a full disk is told before minutes of decoding.
        for split, records in sources.items():
            files[split] = scratch / f"{split}_images.npy"
            _take_room(files[split], (len(records.examples), *shape))
    splits = {
        split: _decode_split(records, split, shape, name, progress, files.get(split))
        for split, records in sources.items()
    }
    mean, std = channel_statistics(splits["train"].images)
    return Decoded(splits["train"], splits["test"], mean, std, validation=splits.get(GIVEN))


def _decode_split(
    records: Records, split: str, shape: tuple[int, ...], name: str, progress: Progress, file: Path | None
) -> Split:
    count = len(records.examples)
    labels: Labels = np.empty(count, np.int32)
    memory: Images | None = np.empty((count, *shape), np.uint8) if file is None else None
    # Written, not mapped: what fails then is this call, and not the process.
    with contextlib.nullcontext() if file is None else file.open("r+b") as stream:
        if stream is not None:
            stream.seek(-count * math.prod(shape), os.SEEK_END)
        for index in range(count):
            encoded, labels[index] = records[index]
            pixels = decode_image(encoded, name, index)
            if pixels.shape != shape:
                raise UserError(
                    f"data set {name} has images of different sizes (the first is {size_text(shape)}, {split} image "
                    f"{index} is {size_text(pixels.shape)}): resize them and import them as an image tree"
                )
            if memory is not None:
                memory[index] = pixels
            elif stream is not None:
                stream.write(np.ascontiguousarray(pixels).data.cast("B"))
            if index % 1000 == 999 or index == count - 1:
                progress(f"decoding {name} {split} images", index + 1, count)
    if memory is None:
        assert file is not None
        memory = np.load(file, mmap_mode="r")
    return Split(memory, labels)


def _take_room(file: Path, shape: tuple[int, ...]) -> None:
    """An npy file of zeros, whose blocks are its own."""
    with file.open("w+b") as stream:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        allocate(stream.fileno(), len(header.getvalue()) + math.prod(shape))
        stream.write(header.getvalue())


def size_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))

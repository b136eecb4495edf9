"""Small data sets in every archive format that imctrain imports."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from imctrain.data import OFFICIAL
from imctrain.data.dataset import Split
from imctrain.data.published.cifar10 import CLASSES as CIFAR10_CLASSES

PER_CLASS = {"train": 5, "test": 2}
SMALL = {
    name: replace(
        known, expected=replace(known.expected, per_class=PER_CLASS, totals=None, enforced=True), checksums={}
    )
    for name, known in OFFICIAL.items()
}
"""The official data sets with fewer images, whose archives are not the published ones."""
IDX_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def random_splits(shape: tuple[int, int, int] = (32, 32, 3), seed: int = 0, classes: int = 10) -> dict[str, Split]:
    """Noise images, `PER_CLASS` of each class, labels interleaved."""
    rng = np.random.default_rng(seed)
    splits = {}
    for name, count in PER_CLASS.items():
        labels = np.tile(np.arange(classes, dtype=np.int32), count)
        splits[name] = Split(rng.integers(0, 256, (len(labels), *shape), dtype=np.uint8), labels)
    return splits


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def planes(images: np.ndarray) -> np.ndarray:
    """[n, h, w, 3] to [n, 3 * h * w], colour by colour."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def batches(splits: dict[str, Split]) -> dict[str, Split]:
    """The five training batches and the test batch of the official archives."""
    train = splits["train"]
    size = len(train) // 5
    named = {
        f"data_batch_{i + 1}": Split(train.images[i * size : (i + 1) * size], train.labels[i * size : (i + 1) * size])
        for i in range(5)
    }
    return {**named, "test_batch": splits["test"]}


def binary_archive(path: Path, splits: dict[str, Split], drop: str = "", cut: int = 0) -> Path:
    """cifar-10-binary.tar.gz; `drop` leaves a file out, `cut` takes bytes off the first batch."""
    with tarfile.open(path, "w:gz") as archive:
        _add(archive, "cifar-10-batches-bin/batches.meta.txt", ("\n".join(CIFAR10_CLASSES) + "\n\n").encode())
        _add(archive, "cifar-10-batches-bin/readme.html", b"<html>")
        for name, batch in batches(splits).items():
            records = np.concatenate([batch.labels.astype(np.uint8)[:, None], planes(batch.images)], axis=1).tobytes()
            if name == "data_batch_1" and cut:
                records = records[:-cut]
            if name != drop:
                _add(archive, f"cifar-10-batches-bin/{name}.bin", records)
    return path


class _Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Pickles as Python 2 and an early numpy did: strings are byte strings, and arrays come from numpy.core."""

    dispatch = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]  # noqa: RUF012

    def save_string(self, text: str | bytes) -> None:
        content = text if isinstance(text, bytes) else text.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_string


def python2_pickle(content: object) -> bytes:
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(content)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def python_archive(path: Path, splits: dict[str, Split], replace: dict[str, bytes] | None = None) -> Path:
    """cifar-10-python.tar.gz; `replace` puts other content in place of a batch."""
    content = {
        name: python2_pickle({"data": planes(batch.images), "labels": batch.labels.tolist()})
        for name, batch in batches(splits).items()
    }
    content["batches.meta"] = python2_pickle({"label_names": list(CIFAR10_CLASSES)})
    with tarfile.open(path, "w:gz") as archive:
        for name, pickled in {**content, **(replace or {})}.items():
            _add(archive, f"cifar-10-batches-py/{name}", pickled)
    return path


def encode(image: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, kind)
    return buffer.getvalue()


def tree_files(splits: dict[str, Split], classes: tuple[str, ...], kind: str = "PNG") -> dict[str, bytes]:
    """split/CLASS/0000.png and its content."""
    files = {}
    for name, split in splits.items():
        for index, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
            files[f"{name}/{classes[label]}/{index:04d}.{kind.lower()}"] = encode(image, kind)
    return files


def write_tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def tree_archive(path: Path, files: dict[str, bytes], mode: str = "w:gz", prefix: str = "") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            _add(archive, prefix + name, content)
    return path


def idx_folder(folder: Path, splits: dict[str, Split], packed: bool = True, kind: str = "") -> Path:
    """The four idx files, gzipped or not; `kind`: of EMNIST, whose images lie column by column, and letters from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, split in splits.items():
        images = split.images[..., 0].transpose(0, 2, 1) if kind else split.images[..., 0]
        labels = split.labels + (kind == "letters")
        for file, array in zip(IDX_NAMES[name], (images, labels.astype(np.uint8)), strict=True):
            if kind:
                file = f"emnist-{kind}-{file.replace('t10k', 'test')}"
            content = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
            if packed:
                (folder / f"{file}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / file).write_bytes(content)
    return folder


def cifar100_archive(path: Path, splits: dict[str, Split], names: tuple[str, ...], binary: bool = True) -> Path:
    """cifar-100-binary.tar.gz or cifar-100-python.tar.gz; the coarse class of class k is k % 20."""
    coarse = [f"coarse{index}" for index in range(20)]
    folder, files = ("cifar-100-binary" if binary else "cifar-100-python"), {}
    for name, split in splits.items():
        if binary:
            labels = np.stack([split.labels % 20, split.labels], axis=1).astype(np.uint8)
            files[f"{name}.bin"] = np.concatenate([labels, planes(split.images)], axis=1).tobytes()
        else:
            fine = split.labels.tolist()
            batch = {"data": planes(split.images), "fine_labels": fine, "coarse_labels": [k % 20 for k in fine]}
            files[name] = python2_pickle(batch)
    if binary:
        files |= {
            "fine_label_names.txt": "\n".join(names).encode(),
            "coarse_label_names.txt": "\n".join(coarse).encode(),
        }
    else:
        files["meta"] = python2_pickle({"fine_label_names": list(names), "coarse_label_names": coarse})
    return tree_archive(path, {f"{folder}/{name}": content for name, content in files.items()})


def svhn_folder(folder: Path, splits: dict[str, Split]) -> Path:
    """train_32x32.mat and test_32x32.mat, where the digit 0 has the label 10."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, split in splits.items():
        labels = np.where(split.labels == 0, 10, split.labels).astype(np.uint8)[:, None]
        savemat(folder / f"{name}_32x32.mat", {"X": np.moveaxis(split.images, 0, -1), "y": labels}, do_compression=True)
    return folder


def tree_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def picture(mode: str, size: tuple[int, int] = (12, 10), value: int = 90) -> Image.Image:
    """A flat image of one of Pillow's modes, (width, height)."""
    if mode.startswith("I;16"):
        return Image.fromarray(np.full(size[::-1], 257 * value, np.uint16))
    return Image.new(
        mode,
        size,
        value if len(Image.new(mode, (1, 1)).getbands()) == 1 else (value,) * len(Image.new(mode, (1, 1)).getbands()),
    )


def stored(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """An image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def small_tree(
    classes: tuple[str, ...] = ("cat", "dog"), each: int = 3, splits: tuple[str, ...] = ("train", "test")
) -> dict[str, bytes]:
    """SPLIT/CLASS/N.png of grey images that all differ; CLASS/N.png for the split ""."""
    files = {}
    for s, split in enumerate(splits):
        for c, name in enumerate(classes):
            for index in range(each):
                pixels = np.full((6, 5), 60 * c + 20 * s + index, np.uint8)
                files[f"{split}/{name}/{index}.png".lstrip("/")] = stored(Image.fromarray(pixels))
    return files


def by_class(split: Split) -> Split:
    """The order in which an image tree gives a split: by class, then by file name."""
    order = np.argsort(split.labels, kind="stable")
    return Split(split.images[order], split.labels[order])

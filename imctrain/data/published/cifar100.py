"""CIFAR-100: 60,000 colour images of 32 x 32 pixels, in cifar-100-binary.tar.gz or cifar-100-python.tar.gz.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. An image has one of 100 classes,
which networks are trained on, and one of 20 coarse ones, which is kept beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imctrain.data.archive import sha256_of_file
from imctrain.data.dataset import RawImages, Source, Split
from imctrain.data.published.cifar import (
    SIDE,
    binary_records,
    folder_of,
    lines,
    names,
    pickled_batch,
    read_members,
    unpickle,
)
from imctrain.data.published.official import Official
from imctrain.data.request import PLAIN, Request
from imctrain.data.verify import Expected
from imctrain.errors import UserError

_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CLASSES = tuple(_NAMES.split())
COARSE_CLASSES = 20

BINARY_FOLDER = "cifar-100-binary"
PYTHON_FOLDER = "cifar-100-python"
SHA256 = {
    # As TFDS has it (url_checksums/cifar100.txt).
    BINARY_FOLDER: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    # As Keras has it (keras.datasets.cifar100).
    PYTHON_FOLDER: "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
}


def read_cifar100(path: Path, *, checksums: Mapping[str, str], request: Request = PLAIN) -> RawImages:
    """All images of one of the archives, in its own order; see `official.Reader`."""
    folder = folder_of(path, request)
    if folder not in (BINARY_FOLDER, PYTHON_FOLDER):
        raise UserError(f"{path} holds neither {BINARY_FOLDER} nor {PYTHON_FOLDER}: it is not CIFAR-100's archive")
    request.progress(f"checking {path.name}", 0, 0)
    digest = sha256_of_file(path)
    published = digest == checksums.get(folder, digest)
    binary = folder == BINARY_FOLDER
    files = {split: f"{split}.bin" if binary else split for split in ("train", "test")}
    meta = ("fine_label_names.txt", "coarse_label_names.txt") if binary else ("meta",)
    whole = published and folder in checksums
    found = read_members(path, folder, {*files.values(), *meta}, request, whole=whole, title="CIFAR-100")
    splits, coarse = {}, {}
    for split, name in files.items():
        where = f"{path}: {name}"
        if binary:
            images, labels = binary_records(where, found[name], 2)
        else:
            images, labels = pickled_batch(where, unpickle(where, found[name]), (b"coarse_labels", b"fine_labels"))
        splits[split], coarse[split] = Split(images, labels[:, 1]), labels[:, 0]
        if len(labels) and not 0 <= labels[:, 0].min() <= labels[:, 0].max() < COARSE_CLASSES:
            raise UserError(f"{where} has a coarse label beyond 0 to {COARSE_CLASSES - 1}: download the archive again")
    if binary:
        classes, coarse_classes = (lines(found[name]) for name in meta)
    else:
        known = unpickle(f"{path}: meta", found["meta"])
        classes, coarse_classes = names(known, b"fine_label_names"), names(known, b"coarse_label_names")
    if len(coarse_classes) != COARSE_CLASSES:
        raise UserError(f"{path} names {len(coarse_classes)} coarse classes: CIFAR-100 has {COARSE_CLASSES}")
    remark = "" if published else "another SHA-256 than the published archive"
    return RawImages(splits, classes, Source(folder, path.name, digest, remark=remark), (coarse_classes, coarse))


def is_cifar100(path: Path) -> bool:
    """Whether a path is one of the archives. Raises UserError for a folder that one was extracted to."""
    if path.is_file():
        return folder_of(path) in (BINARY_FOLDER, PYTHON_FOLDER)
    extracted = path.name in (BINARY_FOLDER, PYTHON_FOLDER) and any((path / f).is_file() for f in ("test", "test.bin"))
    if extracted or any((path / folder).is_dir() for folder in (BINARY_FOLDER, PYTHON_FOLDER)):
        raise UserError(
            f"{path} is an extracted CIFAR-100 archive: give the .tar.gz itself, so that it can be verified"
        )
    return False


CIFAR100 = Official(
    name="cifar100",
    title="CIFAR-100",
    files="cifar-100-binary.tar.gz or cifar-100-python.tar.gz",
    expected=Expected((SIDE, SIDE, 3), CLASSES, {"train": 500, "test": 100}, named=False),
    tfds="Cifar100",
    read=read_cifar100,
    checksums=SHA256,
    recognise=is_cifar100,
    downloads=True,
)

"""What holds for every data set that is known by name, and where the list of them is repeated."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data_archives import (
    PER_CLASS,
    SMALL,
    by_class,
    cifar100_archive,
    idx_folder,
    python_archive,
    random_splits,
    svhn_folder,
)
from tiers import slow
from typer.testing import CliRunner

from imctrain.cli.data import app
from imctrain.data import EMBEDDED, OFFICIAL, builders, load
from imctrain.data.importing import import_dataset
from imctrain.errors import UserError

ROOT = Path(__file__).parents[2]
SAMPLE = ("cifar10", "fashion_mnist")
"""Those of the quick tier; the other formats have tests of their own in test_data_commands.py."""
FILES = {
    "cifar10": lambda tmp, splits: python_archive(tmp / "own.tar.gz", splits),
    "cifar100": lambda tmp, splits: cifar100_archive(tmp / "own.tar.gz", splits, OFFICIAL["cifar100"].expected.classes),
    "svhn": svhn_folder,
}


def own_files(name: str, folder: Path):
    """The data set's own files with few images, and the images."""
    folder.mkdir()
    known = OFFICIAL[name]
    splits = random_splits(known.expected.shape, classes=len(known.expected.classes))
    if known.idx is not None:
        return idx_folder(folder, splits, kind=known.idx), splits
    return FILES[name](folder, splits), splits


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_facts(name):
    known = OFFICIAL[name]
    assert known.name == name
    assert len(set(known.expected.classes)) == len(known.expected.classes)
    for counts in filter(None, (known.expected.per_class, known.expected.totals)):
        assert counts.keys() == {"train", "test"}
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in known.checksums.values())
    if not known.tfds:
        assert not known.downloads
        return
    stock = getattr(tfds.image_classification, known.tfds)
    assert stock.name == name
    urls = builders.known_urls(name)
    assert urls
    assert not known.downloads or ({info.checksum for info in urls.values()} <= set(known.checksums.values()))


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("cifar10", 50000, 10000),
        ("cifar100", 50000, 10000),
        ("mnist", 60000, 10000),
        ("fashion_mnist", 60000, 10000),
        ("kmnist", 60000, 10000),
        ("emnist_balanced", 112800, 18800),
        ("emnist_byclass", 697932, 116323),
        ("emnist_bymerge", 697932, 116323),
        ("emnist_digits", 240000, 40000),
        ("emnist_mnist", 60000, 10000),
        ("svhn", 73257, 26032),
    ],
)
def test_published_totals(name, train, test):
    """Counts of the classes add up to what the publications and TFDS say of the splits."""
    expected = OFFICIAL[name].expected
    assert (expected.images("train"), expected.images("test")) == (train, test)


@pytest.mark.parametrize("name", [name if name in SAMPLE else slow(name) for name in OFFICIAL])
def test_official_files_come_back_through_tfds(tmp_path, name):
    path, splits = own_files(name, tmp_path / "own")
    home = tmp_path / "home"
    prepared, written = import_dataset(name, path, data_dir=home, official=SMALL)
    assert (prepared.name, written) == (name, True)
    loaded = load(name, home)
    expected = SMALL[name].expected
    assert (loaded.classes, loaded.shape) == (expected.classes, expected.shape)
    for split, found in (("train", loaded.train), ("test", loaded.test)):
        assert (found.images.dtype, found.labels.dtype) == (np.uint8, np.int32)
        assert len(found) == PER_CLASS[split] * len(expected.classes)
        ours, theirs = by_class(splits[split]), by_class(found)
        np.testing.assert_array_equal(theirs.labels, ours.labels)
        assert sorted(i.tobytes() for i in theirs.images) == sorted(i.tobytes() for i in ours.images)


def test_the_official_checksum_of_cifar10_is_enforced(tmp_path):
    path, _ = own_files("cifar10", tmp_path / "own")
    with pytest.raises(UserError, match="has SHA-256"):
        import_dataset("cifar10", path, data_dir=tmp_path / "home")


@pytest.mark.parametrize("name", ["svhn", *(slow(name) for name in OFFICIAL if name not in ("cifar10", "svhn"))])
def test_files_that_are_not_as_published_are_told_and_say_so(tmp_path, name):
    """Another number of images, or another checksum."""
    path, splits = own_files(name, tmp_path / "own")
    notes: list[str] = []
    prepared, _ = import_dataset(name, path, data_dir=tmp_path / "home", tell=notes.append)
    assert prepared.splits == {split: len(found) for split, found in splits.items()}
    listed = CliRunner(env={"COLUMNS": "400"}).invoke(app, ["list", "--data-dir", str(tmp_path / "home")]).output
    if OFFICIAL[name].expected.images("train") is None:
        assert not notes
        assert prepared.source.remark == ""
        return
    assert any("as it was published" in note and "do not compare" in note for note in notes)
    assert f"{len(splits['train'])} of {OFFICIAL[name].expected.images('train')} train images" in prepared.source.remark
    assert prepared.source.remark in listed
    assert load(name, tmp_path / "home").source.remark == prepared.source.remark


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_missing_official_data_set_is_told_with_its_command(tmp_path, name):
    with pytest.raises(UserError, match=f"imctrain data import {name} PATH"):
        load(name, tmp_path)
    with pytest.raises(UserError, match=rf"did you mean {name}\?"):
        load(name + "x", tmp_path)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_sets(name):
    first, again = load(name), load(name)
    assert (first.name, first.path, first.source.kind) == (name, None, "embedded")
    assert first.content == again.content
    for split in (first.train, first.test):
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int32)
        assert split.images.shape[1:] == first.shape
        assert set(split.labels) == set(range(len(first.classes)))
    listed = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["list"]).output
    height, width, channels = first.shape
    size = f"{height}x{width}x{channels} +{len(first.classes)} "
    row = rf"{name} .*train {len(first.train)}, test {len(first.test)} +{size}"
    assert re.search(row, listed)
    with pytest.raises(UserError, match=f"{name} is built in"):
        import_dataset(name, None)


def test_every_data_set_is_named_where_users_read_of_them():
    from imctrain.settings.experiment import DataConfig

    told = [(ROOT / "docs" / "settings.md").read_text(), CliRunner().invoke(app, ["import", "--help"]).output]
    for name in OFFICIAL:
        assert all(name in text for text in told)
        # EMNIST's six have their name and one word more.
        assert all(OFFICIAL[name].title.split()[0] in (ROOT / f).read_text() for f in ("README.md", "docs/data.md"))
    for name in EMBEDDED:
        assert name in told[0]
    assert DataConfig().name in EMBEDDED

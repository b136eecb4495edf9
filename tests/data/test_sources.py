"""What holds for every data set that is known by name, and where the list of them is repeated."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data_archives import PER_CLASS, SMALL, by_class, idx_folder, python_archive, random_splits
from typer.testing import CliRunner

from imctrain.cli.data import app
from imctrain.data import EMBEDDED, OFFICIAL, builders, load
from imctrain.data.importing import import_dataset
from imctrain.errors import UserError

ROOT = Path(__file__).parents[2]
FILES = {"cifar10": lambda tmp, splits: python_archive(tmp / "own.tar.gz", splits), "fashion_mnist": idx_folder}


def own_files(name: str, folder: Path):
    """The data set's own files with few images, and the images."""
    folder.mkdir()
    splits = random_splits(OFFICIAL[name].expected.shape)
    return FILES[name](folder, splits), splits


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_facts(name):
    known = OFFICIAL[name]
    assert known.name == name
    stock = getattr(tfds.image_classification, known.tfds)
    assert stock.name == name
    assert len(set(known.expected.classes)) == len(known.expected.classes)
    assert known.expected.per_class.keys() == {"train", "test"}
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in known.checksums.values())
    urls = builders.known_urls(name)
    assert urls
    assert not known.downloads or ({info.checksum for info in urls.values()} <= set(known.checksums.values()))


@pytest.mark.parametrize("name", OFFICIAL)
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


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_counts_and_checksums_are_enforced(tmp_path, name):
    path, _ = own_files(name, tmp_path / "own")
    with pytest.raises(UserError, match="has SHA-256" if OFFICIAL[name].checksums else "expected 6000 of each of 10"):
        import_dataset(name, path, data_dir=tmp_path / "home")


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
        assert all(OFFICIAL[name].title in (ROOT / file).read_text() for file in ("README.md",))
    for name in EMBEDDED:
        assert name in told[0]
    assert DataConfig().name in EMBEDDED

"""Loading: the embedded digits, the decoded cache, and TFDS data sets that imctrain did not write."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data_archives import SMALL, binary_archive, encode, random_splits
from typer.testing import CliRunner

from imctrain.cli.data import app
from imctrain.data import EXPECTED, cache, digits, load, paths
from imctrain.data.dataset import Split, blocks, channel_statistics, content_hash
from imctrain.data.importing import import_dataset
from imctrain.errors import UserError

SPLITS = random_splits()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data directory with a small cifar10."""
    archive = binary_archive(tmp_path / "archive.tar.gz", SPLITS)
    import_dataset("cifar10", archive, data_dir=tmp_path / "home", official=SMALL)
    return tmp_path / "home"


@pytest.mark.parametrize("found", [True, False], ids=["file", "import"])
def test_digits_are_those_of_scikit_learn(found, monkeypatch):
    from sklearn.datasets import load_digits as bundled

    if not found:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    levels, labels = digits._bundled()
    assert (levels.dtype, labels.dtype) == (np.float64, np.int32)
    np.testing.assert_array_equal(levels, bundled().images)
    np.testing.assert_array_equal(labels, bundled().target)


def test_digits_load_without_importing_scikit_learn():
    code = "import sys; from imctrain.data import digits; digits.load_digits(); print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_digits_are_embedded_and_split_evenly():
    loaded = load("digits")
    assert loaded.shape == (8, 8, 1)
    assert (len(loaded.train), len(loaded.test)) == (1437, 360)
    facts = EXPECTED["digits"]
    assert (facts.shape, facts.classes) == (loaded.shape, loaded.classes)
    assert (facts.images("train"), facts.images("test")) == (1437, 360)
    assert loaded.train.images.dtype == np.uint8
    assert loaded.train.labels.dtype == np.int32
    assert loaded.train.images.max() == 255
    train, test = (np.bincount(split.labels, minlength=10) for split in (loaded.train, loaded.test))
    assert np.abs(test - (train + test) / 5).max() < 1
    known = {(image.tobytes(), label) for image, label in zip(loaded.train.images, loaded.train.labels, strict=True)}
    assert len(known) == 1437
    again = load("digits")
    np.testing.assert_array_equal(again.test.images, loaded.test.images)
    np.testing.assert_array_equal(again.test.labels[:8], loaded.test.labels[:8])


def test_channel_statistics_match_numpy():
    images = SPLITS["train"].images
    mean, std = channel_statistics(images, size=7 * images[0].nbytes)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)), rtol=1e-12)
    assert channel_statistics(np.full((3, 2, 2, 1), 51, np.uint8)) == ((0.2,), (1.0,))


def test_blocks_of_arrays_and_of_mapped_files_are_their_rows(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (23, 5, 4, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", values)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    views = (values, mapped, mapped[:20], mapped[3:], mapped[::2], mapped[:, ::-1], np.arange(9))
    for view in views:
        for size in (1, 7 * 60, 1 << 20):
            found = list(blocks(view, size))
            np.testing.assert_array_equal(np.concatenate(found), view)
            assert all(len(rows) * view[0].nbytes <= max(size, view[0].nbytes) for rows in found)
    assert not any(isinstance(rows, np.memmap) for rows in blocks(mapped))


def test_statistics_of_large_images_take_little_memory():
    images = np.zeros((40, 300, 300, 3), np.uint8)
    tracemalloc.start()
    channel_statistics(images, size=1 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 << 20  # int64 twice, of three images


def test_the_content_of_a_data_set_is_told_by_every_pixel_and_label(home, tmp_path, monkeypatch):
    found = load("cifar10", home)
    assert found.content == content_hash(found.train, found.test)
    train, test = found.train, found.test
    one_label = np.array(train.labels)
    one_label[3] += 1
    one_pixel = np.array(test.images)
    one_pixel[-1, -1, -1, -1] ^= 1
    others = [
        content_hash(Split(train.images, one_label), test),
        content_hash(train, Split(one_pixel, test.labels)),
        content_hash(test, train),
        content_hash(Split(train.images[:-1], train.labels[:-1]), test),
    ]
    assert len({found.content, *others}) == 5
    # The same pixels under another name and in another place are the same content.
    archive = binary_archive(tmp_path / "again.tar.gz", SPLITS)
    import_dataset("cifar10", archive, data_dir=tmp_path / "other", official=SMALL)
    assert load("cifar10", tmp_path / "other").content == found.content
    # A cache knows its content; one that was made before caches did is hashed once.
    monkeypatch.setattr(cache, "content_hash", None)
    assert load("cifar10", home).content == found.content
    monkeypatch.undo()
    (facts,) = (home / cache.FOLDER).glob("*/cache.json")
    known = json.loads(facts.read_text())
    assert known.pop("content") == found.content
    facts.write_text(json.dumps(known))
    assert load("cifar10", home).content == found.content
    assert json.loads(facts.read_text())["content"] == found.content


def test_data_imported_again_under_the_same_name_has_another_content(home, tmp_path):
    before = load("cifar10", home).content
    archive = binary_archive(tmp_path / "new.tar.gz", random_splits(seed=1))
    import_dataset("cifar10", archive, data_dir=home, official=SMALL, replace=True)
    assert load("cifar10", home).content != before


def test_the_second_load_maps_the_cache(home, monkeypatch):
    first = load("cifar10", home)
    assert isinstance(first.train.images, np.memmap)
    assert not first.train.images.flags.writeable
    monkeypatch.setattr(cache, "_decode", None)
    second = load("cifar10", home)
    np.testing.assert_array_equal(second.train.images, first.train.images)
    assert (second.mean, second.std) == (first.mean, first.std)
    np.testing.assert_allclose(first.mean, (SPLITS["train"].images / 255).mean((0, 1, 2)))


def test_changed_records_get_a_new_cache_and_the_old_one_goes(home):
    load("cifar10", home)
    (old,) = (home / cache.FOLDER).iterdir()
    labels = home / "cifar10" / "3.0.2" / "label.labels.txt"
    labels.write_text(labels.read_text().replace("airplane", "aeroplane"))
    assert load("cifar10", home).classes[0] == "aeroplane"
    (new,) = (home / cache.FOLDER).iterdir()
    assert new != old


def test_an_empty_folder_that_a_killed_process_left_in_the_cache_goes_after_an_hour(home):
    for name, age in ((".making-old", 7200), (".making-new", 60)):
        folder = home / cache.FOLDER / name
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - age,) * 2)
    load("cifar10", home)
    left = sorted(folder.name for folder in (home / cache.FOLDER).iterdir() if folder.name.startswith("."))
    assert left == [".making-new"]


@pytest.mark.parametrize("file", ["train_images.npy", "test_labels.npy", "cache.json"])
def test_a_damaged_cache_is_made_again(home, file):
    expected = np.array(load("cifar10", home).train.images)
    (folder,) = (home / cache.FOLDER).iterdir()
    (folder / file).write_bytes((folder / file).read_bytes()[:40])
    np.testing.assert_array_equal(load("cifar10", home).train.images, expected)
    assert (folder / file).stat().st_size > 40


def test_where_a_cache_may_not_be_written_the_data_set_is_held_in_memory(home, monkeypatch):
    def refused(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    expected = sorted(image.tobytes() for image in SPLITS["train"].images)
    for broken in ("imctrain.data.cache.allocate", "tempfile.mkdtemp"):
        with monkeypatch.context() as patch:
            patch.setattr(broken, refused)
            loaded = load("cifar10", home)
        assert not isinstance(loaded.train.images, np.memmap)
        assert sorted(image.tobytes() for image in loaded.train.images) == expected
        assert not list((home / cache.FOLDER).iterdir())


def test_a_damaged_record_or_description_is_told(home):
    folder = home / "cifar10" / "3.0.2"
    (folder / "features.json").write_text("{")
    with pytest.raises(UserError, match=r"no readable TFDS data set .*: delete it and import it again"):
        load("cifar10", home)


def test_a_missing_data_set_names_the_command(tmp_path, home):
    with pytest.raises(UserError, match=r"imctrain data import cifar10 PATH --data-dir .*empty"):
        load("cifar10", tmp_path / "empty")
    with pytest.raises(UserError, match=r"did you mean cifar10\?.*prepared are digits, cifar10"):
        load("cifar01", home)


def test_other_record_formats_are_refused(home):
    info = home / "cifar10" / "3.0.2" / "dataset_info.json"
    facts = json.loads(info.read_text())
    info.write_text(json.dumps({**facts, "fileFormat": "tfrecord"}))
    with pytest.raises(UserError, match=r'stored as tfrecord: prepare it with .*file_format="array_record"'):
        load("cifar10", home)


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A data set as another TFDS builder would write it."""

    VERSION = tfds.core.Version("2.1.0")
    features: dict
    sizes: tuple = ((9, 9),)
    splits: tuple = ("train", "test")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(self.features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in self.splits}

    def _generate_examples(self):
        for index in range(6):
            size = self.sizes[index % len(self.sizes)]
            image = encode(np.full((*size, 3), index, np.uint8))
            values = {tfds.features.Image: image, tfds.features.ClassLabel: index % 2}
            yield index, {key: values[type(feature)] for key, feature in self.features.items()}


def image(size=None):
    return tfds.features.Image(shape=(size, size, 3))


def label():
    return tfds.features.ClassLabel(names=["cat", "dog"])


def prepare(home: Path, **facts) -> None:
    builder = type("Pets", (_Builder,), {"name": "pets", **facts}, skip_registration=True)
    builder.url_infos = None
    builder(data_dir=str(home), file_format="array_record").download_and_prepare()


def test_any_prepared_image_classification_set_loads(tmp_path, monkeypatch):
    prepare(tmp_path, features={"picture": image(), "kind": label()}, splits=("train", "validation"))
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
    loaded = load("pets")
    assert loaded.classes == ("cat", "dog")
    assert loaded.shape == (9, 9, 3)
    assert loaded.source.kind == "tfds"
    pixels = loaded.test.images[:, 0, 0, 0]
    assert sorted(pixels) == list(range(6))
    np.testing.assert_array_equal(loaded.test.labels, pixels % 2)


UNUSABLE = {
    "sizes": ({"features": {"image": image(), "label": label()}, "sizes": ((9, 9), (8, 9))}, "different sizes"),
    "labels": ({"features": {"image": image(9), "a": label(), "b": label()}}, "1 image and 2 class-label features"),
    "splits": (
        {"features": {"image": image(9), "label": label()}, "splits": ("train",)},
        "has the splits train: needed",
    ),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_unusable_sets_are_refused_and_leave_no_cache(tmp_path, fault):
    facts, message = UNUSABLE[fault]
    prepare(tmp_path, **facts)
    with pytest.raises(UserError, match=message):
        load("pets", tmp_path)
    assert not list(tmp_path.glob(f"{cache.FOLDER}/*"))


def test_supervised_keys_choose_among_labels(tmp_path):
    def _info(self):
        features = tfds.features.FeaturesDict(self.features)
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "fine"))

    prepare(tmp_path, features={"image": image(9), "coarse": label(), "fine": label()}, _info=_info)
    assert len(load("pets", tmp_path).train) == 6


def test_where_data_sets_are_searched(tmp_path, monkeypatch):
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path / "chosen"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    prepare(tmp_path / "tfds", features={"image": image(9), "label": label()})
    assert paths.search_dirs(None) == [tmp_path / "chosen", tmp_path / "tfds"]
    assert load("pets").path == tmp_path / "tfds" / "pets" / "2.1.0"
    monkeypatch.delenv(paths.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert paths.default_data_dir() == tmp_path / "xdg" / "imctrain" / "datasets"


def test_command_line(tmp_path, home, monkeypatch):
    run = CliRunner().invoke
    archive = tmp_path / "archive.tar.gz"
    done = run(app, ["import", "cifar10", str(archive), "--data-dir", str(home)])
    assert done.exit_code == 0, done.output
    assert "cifar10 was already imported: 50 training and 20 test images of 32x32x3, 10 classes" in done.output
    listed = run(app, ["list", "--data-dir", str(home)], env={"COLUMNS": "200"})
    assert listed.exit_code == 0
    for expected in ("digits", "train 1437, test 360", "cifar10", "3.0.2", "train 50, test 20", "32x32x3", str(home)):
        assert expected in listed.output.replace("\n", " ") or expected in listed.output
    failed = run(app, ["import", "cifar10", str(tmp_path / "nowhere")])
    assert isinstance(failed.exception, UserError)
    for command in ("import", "list"):
        assert f"imctrain data {command}" in run(app, [command, "--help"]).output


def test_tensorflow_is_never_imported(home):
    load("cifar10", home)
    assert "tensorflow" not in sys.modules

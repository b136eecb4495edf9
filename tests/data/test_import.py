"""Imports: every format gives back its pixels through TFDS, and a wrong source leaves nothing behind."""

from __future__ import annotations

import fcntl
import functools
import http.server
import os
import pickle
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data_archives import (
    PER_CLASS,
    SMALL,
    binary_archive,
    by_class,
    encode,
    idx_folder,
    python_archive,
    random_splits,
    tree_archive,
    tree_files,
    write_tree,
)

from imctrain.data import OFFICIAL, Split, builders, load
from imctrain.data.archive import sha256_of_file
from imctrain.data.importing import import_dataset
from imctrain.data.prepared import list_prepared
from imctrain.data.published.cifar10 import BINARY_FOLDER
from imctrain.data.published.cifar10 import CLASSES as CIFAR10_CLASSES
from imctrain.errors import UserError

SPLITS = random_splits()


def import_small(path: Path, home: Path, **options):
    return import_dataset("cifar10", path, data_dir=home, official=SMALL, **options)


def assert_nothing_left(home: Path) -> None:
    assert not home.exists() or {entry.name for entry in home.iterdir()} <= {".import.lock"}


def read_back(name: str, home: Path) -> dict[str, Split]:
    """The data set as TFDS reads it, in the order in which it was written."""
    splits = {}
    for split, source in tfds.data_source(name, data_dir=str(home)).items():
        examples = sorted((source[i] for i in range(len(source))), key=lambda example: example["id"])
        images = np.stack([example["image"] for example in examples])
        splits[split] = Split(images, np.array([example["label"] for example in examples], np.int32))
    return splits


def tree_in_archive(path: Path, mode: str, prefix: str = "") -> Path:
    return tree_archive(path, tree_files(SPLITS, CIFAR10_CLASSES), mode, prefix)


SOURCES = {
    "binary": lambda tmp: (binary_archive(tmp / "cifar-10-binary.tar.gz", SPLITS), SPLITS),
    "python": lambda tmp: (python_archive(tmp / "cifar-10-python.tar.gz", SPLITS), SPLITS),
    "folder": lambda tmp: (write_tree(tmp / "tree", tree_files(SPLITS, CIFAR10_CLASSES)), None),
    "tar": lambda tmp: (tree_in_archive(tmp / "tree.tar", "w", "./"), None),
    "tar.gz": lambda tmp: (tree_in_archive(tmp / "tree.tar.gz", "w:gz", "cifar/images/"), None),
    "tar.xz": lambda tmp: (tree_in_archive(tmp / "tree.tar.xz", "w:xz"), None),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_round_trip_through_tfds(tmp_path, kind):
    path, expected = SOURCES[kind](tmp_path)
    expected = expected or {name: by_class(split) for name, split in SPLITS.items()}
    home = tmp_path / "home"
    prepared, written = import_small(path, home)
    assert written
    assert prepared.path == home / "cifar10" / "3.0.2"
    assert prepared.splits == {"train": 50, "test": 20}
    assert prepared.source.file == path.name
    assert not prepared.source.lossy
    assert len(prepared.source.sha256) == 64
    found = read_back("cifar10", home)
    for name, split in expected.items():
        np.testing.assert_array_equal(found[name].images, split.images)
        np.testing.assert_array_equal(found[name].labels, split.labels)
    builder = tfds.builder_from_directory(str(prepared.path))
    assert builder.info.features["label"].names == list(CIFAR10_CLASSES)
    assert dict(builder.info.metadata) == prepared.source.as_dict()

    loaded = load("cifar10", home)
    assert loaded.source == prepared.source
    assert loaded.classes == CIFAR10_CLASSES
    assert loaded.shape == (32, 32, 3)
    # The records are shuffled: the loaded split is a permutation of the written one.
    key = expected["train"].images.reshape(50, -1)[:, :16]
    order = [int(np.flatnonzero((key == image.reshape(-1)[:16]).all(1))[0]) for image in loaded.train.images]
    assert sorted(order) == list(range(50))
    np.testing.assert_array_equal(loaded.train.labels, expected["train"].labels[order])
    assert "tensorflow" not in sys.modules


def test_jpeg_sources_are_lossy(tmp_path):
    path = tree_archive(tmp_path / "jpeg.tar.gz", tree_files(SPLITS, CIFAR10_CLASSES, "JPEG"))
    prepared, _ = import_small(path, tmp_path / "home")
    assert prepared.source.lossy
    assert load("cifar10", tmp_path / "home").source.lossy


def test_importing_again_does_nothing_and_another_source_needs_replace(tmp_path):
    home = tmp_path / "home"
    path = binary_archive(tmp_path / "a.tar.gz", SPLITS)
    prepared, _ = import_small(path, home)
    before = {file.name: file.stat().st_mtime_ns for file in prepared.path.iterdir()}
    assert import_small(path, home) == (prepared, False)
    assert import_dataset("cifar10", None, data_dir=home) == (prepared, False)
    assert {file.name: file.stat().st_mtime_ns for file in prepared.path.iterdir()} == before

    first = np.array(load("cifar10", home).train.images)
    other = write_tree(tmp_path / "tree", tree_files(random_splits(seed=1), CIFAR10_CLASSES))
    with pytest.raises(UserError, match=r"already prepared .* --replace"):
        import_small(other, home)
    replaced, written = import_small(other, home, replace=True)
    assert written
    assert replaced.source.kind == "image-tree"
    assert not np.array_equal(load("cifar10", home).train.images, first)
    assert import_small(other, home) == (replaced, False)


def test_official_checksums_are_enforced(tmp_path):
    (info,) = tfds.core.download.checksums.load_url_infos(
        tfds.core.utils.tfds_path() / "url_checksums" / "cifar10.txt"
    ).values()
    assert OFFICIAL["cifar10"].checksums[BINARY_FOLDER] == info.checksum
    for make in (binary_archive, python_archive):
        path = make(tmp_path / f"{make.__name__}.tar.gz", SPLITS)
        with pytest.raises(UserError, match=r"has SHA-256 .* official archive has .*: download it again"):
            import_dataset("cifar10", path, data_dir=tmp_path / "home")
    assert_nothing_left(tmp_path / "home")


def swap(files: dict[str, bytes], **changes: bytes | None) -> dict[str, bytes]:
    """`files` with some replaced, added, or (None) left out; __ in a keyword stands for /."""
    merged = {**files, **{name.replace("__", "/") + ".png": content for name, content in changes.items()}}
    return {name: content for name, content in merged.items() if content is not None}


TREE = tree_files(SPLITS, CIFAR10_CLASSES)
SMALL_IMAGE = encode(np.zeros((31, 32, 3), np.uint8))
GREY_IMAGE = encode(np.zeros((32, 32, 1), np.uint8))
BAD_TREES = {
    "one image short": (swap(TREE, train__airplane__0000=None), "4 train images of class airplane: expected 5"),
    "one too many": (
        swap(TREE, test__cat__x=encode(SPLITS["test"].images[0])),
        "3 test images of class cat: expected 2",
    ),
    "wrong size": (swap(TREE, train__cat__0003=SMALL_IMAGE), "train/cat/0003.png is 31x32x3, but .* is 32x32x3"),
    "grey": (swap(TREE, train__cat__0003=GREY_IMAGE), "train/cat/0003.png is 32x32x1"),
    "no image": (swap(TREE, train__cat__0003=b"hello"), "train/cat/0003.png is no image that can be decoded"),
    "broken image": (swap(TREE, train__cat__0003=TREE["train/cat/0003.png"][:300]), "no image that can be decoded"),
    "class in one split": (
        {name: content for name, content in TREE.items() if not name.startswith("test/dog")},
        "has train/dog but no test/dog",
    ),
    "class missing": (
        {name: content for name, content in TREE.items() if "/dog/" not in name},
        "wrong classes .missing dog.",
    ),
    "class unknown": (
        {name.replace("/dog/", "/wolf/"): content for name, content in TREE.items()},
        "missing dog; unknown wolf",
    ),
    "class twice": (swap(TREE, again__train__cat__x=GREY_IMAGE), "more than one tree"),
    "no test split": (
        {name: content for name, content in TREE.items() if name.startswith("train")},
        "has no test/CLASS/IMAGE",
    ),
    "all too small": (
        tree_files(
            {name: Split(split.images[:, :16], split.labels) for name, split in SPLITS.items()}, CIFAR10_CLASSES
        ),
        "train images of 16x32x3: expected 32x32x3",
    ),
    "empty": ({"readme.txt": b"hello"}, "has no train/CLASS/IMAGE"),
}


@pytest.mark.parametrize("fault", BAD_TREES)
def test_wrong_trees_are_refused(tmp_path, fault):
    files, message = BAD_TREES[fault]
    home = tmp_path / "home"
    for path in (write_tree(tmp_path / "tree", files), tree_archive(tmp_path / "tree.tar.gz", files)):
        with pytest.raises(UserError, match=message) as caught:
            import_small(path, home)
        assert "\n" not in str(caught.value)
        assert_nothing_left(home)


def test_files_that_are_no_images_of_the_tree_are_left_out(tmp_path):
    files = swap(TREE, train__cat__0003=TREE["train/cat/0003.png"])
    files |= {"README.md": b"", "train/.DS_Store": b"", "train/cat/._0003.png": b"", ".git/train/cat/x": b""}
    prepared, _ = import_small(write_tree(tmp_path / "tree", files), tmp_path / "home")
    assert prepared.splits == {"train": 50, "test": 20}


def bad_label() -> dict[str, Split]:
    labels = SPLITS["train"].labels.copy()
    labels[7] = 10
    return {**SPLITS, "train": Split(SPLITS["train"].images, labels)}


def damaged(path: Path, tail: int) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[:-tail])
    return path


class _Evil:
    def __reduce__(self):
        return os.system, ("true",)


BAD_ARCHIVES = {
    "truncated binary": (lambda p: damaged(binary_archive(p, SPLITS), 2000), "damaged, incomplete"),
    "truncated xz": (lambda p: damaged(tree_archive(p, TREE, "w:xz"), 2000), "damaged, incomplete"),
    "no archive": (lambda p: p.write_bytes(b"hello world" * 99) and p, "not a tar archive"),
    "empty file": (lambda p: (p.write_bytes(b""), p)[1], "not a tar archive|empty"),
    "batch missing": (lambda p: binary_archive(p, SPLITS, drop="data_batch_3"), "no .*/data_batch_3.bin"),
    "record cut": (lambda p: binary_archive(p, SPLITS, cut=5), "no whole number of 3073-byte records"),
    "label 10": (lambda p: binary_archive(p, bad_label()), "label 10 in its train split: allowed is 0 to 9"),
    "evil pickle": (lambda p: python_archive(p, SPLITS, {"data_batch_2": pickle.dumps(_Evil())}), "wants to import"),
    "no pickle": (lambda p: python_archive(p, SPLITS, {"data_batch_2": b"\x80"}), "cannot be unpickled"),
    "other pickle": (lambda p: python_archive(p, SPLITS, {"test_batch": pickle.dumps([1])}), "holds a list"),
    "empty pickle": (lambda p: python_archive(p, SPLITS, {"test_batch": pickle.dumps({})}), "does not hold uint8"),
}


@pytest.mark.parametrize("fault", BAD_ARCHIVES)
def test_wrong_archives_are_refused(tmp_path, fault):
    make, message = BAD_ARCHIVES[fault]
    with pytest.raises(UserError, match=message) as caught:
        import_small(make(tmp_path / "archive.tar.gz"), tmp_path / "home")
    assert "\n" not in str(caught.value)
    assert_nothing_left(tmp_path / "home")


def test_links_in_an_archive_are_refused(tmp_path):
    path = tmp_path / "tree.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("train/cat/x.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(member)
    with pytest.raises(UserError, match="no regular file"):
        import_small(path, tmp_path / "home")


def test_mistaken_paths_and_names(tmp_path):
    home = tmp_path / "home"
    archive = binary_archive(tmp_path / "a.tar.gz", SPLITS)
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "extracted", filter="data")
    cases = [
        ("cifar10", tmp_path / "nowhere", "does not exist"),
        ("digits", archive, "digits is built in"),
        ("../x", archive, "use a-z, 0-9 and _"),
        ("leaves", None, "imctrain data import leaves PATH"),
        ("leaves", archive, "import it as cifar10"),
        ("cifar10", tmp_path / "extracted", "give the .tar.gz itself"),
        ("cifar10", tmp_path / "extracted" / "cifar-10-batches-bin", "give the .tar.gz itself"),
        ("fashion_mnist", archive, "import it as cifar10, not fashion_mnist"),
        ("emnist", archive, "import it as one of emnist_balanced, .*, emnist_mnist"),
        ("a" * 101, archive, "has 101 characters: 100 are possible"),
    ]
    for name, path, message in cases:
        with pytest.raises(UserError, match=message):
            import_dataset(name, path, data_dir=home)
    assert_nothing_left(home)
    with pytest.raises(UserError, match="is a file: give a folder"):
        import_small(archive, archive)


@pytest.mark.parametrize("stage", ["reading", "writing train", "writing test"])
def test_interrupted_import_leaves_nothing(tmp_path, stage):
    def interrupt(what: str, done: int, total: int) -> None:
        if what.startswith(stage):
            raise KeyboardInterrupt

    home = tmp_path / "home"
    path = binary_archive(tmp_path / "a.tar.gz", SPLITS)
    with pytest.raises(KeyboardInterrupt):
        import_small(path, home, progress=interrupt)
    assert_nothing_left(home)
    assert import_small(path, home)[1]


def test_killed_import_leaves_no_data_set_and_is_cleaned_up(tmp_path):
    home = tmp_path / "home"
    path = binary_archive(tmp_path / "a.tar.gz", SPLITS)
    script = (
        "import os, signal, sys\n"
        "from data_archives import SMALL\n"
        "from imctrain.data.importing import import_dataset\n"
        "def kill(what, done, total):\n"
        "    if what.startswith('writing test'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "import_dataset('cifar10', sys.argv[1], data_dir=sys.argv[2], official=SMALL,"
        " progress=kill)\n"
    )
    tests = Path(__file__).parents[1]
    search = os.pathsep.join([str(tests / "helpers"), str(tests.parent)])
    done = subprocess.run(
        [sys.executable, "-c", script, path, home], env={**os.environ, "PYTHONPATH": search}, timeout=60, check=False
    )
    assert done.returncode == -9
    assert list(home.glob(".importing-*"))
    assert list_prepared(home) == []
    import_small(path, home)
    assert not list(home.glob(".importing-*"))
    assert [entry.name for entry in list_prepared(home)] == ["cifar10"]


def test_two_imports_at_once_are_refused(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with (home / ".import.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another import"):
            import_small(binary_archive(tmp_path / "a.tar.gz", SPLITS), home)


def test_without_a_network_the_download_is_refused_at_once(tmp_path, monkeypatch):
    def unreachable(*args):
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    message = r"www\.cs\.toronto\.edu is not reachable .*`imctrain data import cifar10 PATH`"
    with pytest.raises(UserError, match=message) as caught:
        import_dataset("cifar10", data_dir=tmp_path / "home")
    assert "\n" not in str(caught.value)
    assert_nothing_left(tmp_path / "home")


@pytest.fixture
def web(tmp_path):
    """A web server, its folder and its address."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_download_goes_through_tfds_with_its_checksum(tmp_path, monkeypatch, web):
    folder, address = web
    archive = binary_archive(folder / "cifar-10-binary.tar.gz", SPLITS)
    url = f"{address}/{archive.name}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def official_is(checksum: str) -> None:
        info = tfds.core.download.checksums.UrlInfo(archive.stat().st_size, checksum, archive.name)
        monkeypatch.setattr(builders, "known_urls", lambda name: {url: info})

    (known,) = builders.known_urls("cifar10").values()
    assert known.checksum == OFFICIAL["cifar10"].checksums[BINARY_FOLDER]
    home = tmp_path / "home"
    official_is("0" * 64)
    with pytest.raises(UserError, match="wrong checksum"):
        import_dataset("cifar10", data_dir=home, official=SMALL)
    assert_nothing_left(home)
    official_is(sha256_of_file(archive))
    prepared, _ = import_dataset("cifar10", data_dir=home, official=SMALL)
    assert prepared.splits == {"train": 50, "test": 20}
    assert prepared.source.sha256 == sha256_of_file(archive)
    archive.unlink()
    with pytest.raises(UserError, match="cannot download"):
        import_dataset("cifar10", data_dir=tmp_path / "elsewhere", official=SMALL)


@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_from_idx_files(tmp_path, packed):
    splits = random_splits((28, 28, 1))
    folder = idx_folder(tmp_path / "idx", splits, packed)
    home = tmp_path / "home"
    prepared, _ = import_dataset("fashion_mnist", folder, data_dir=home, official=SMALL)
    assert prepared.shape == (28, 28, 1)
    loaded = load("fashion_mnist", home)
    stock = tfds.builder("fashion_mnist", data_dir=str(home)).info.features["label"].names
    assert loaded.classes == tuple(stock) == OFFICIAL["fashion_mnist"].expected.classes
    assert sorted(image.tobytes() for image in loaded.test.images) == sorted(i.tobytes() for i in splits["test"].images)


def test_wrong_idx_files_are_refused(tmp_path):
    splits = random_splits((28, 28, 1))
    name = "train-images-idx3-ubyte"
    content = (idx_folder(tmp_path / "plain", splits, packed=False) / name).read_bytes()
    faults = [
        (content[:-1], "bytes of data for shape"),
        (b"\0\0\x0d" + content[3:], "no idx file of unsigned bytes"),
        (content[:10], "ends inside its header"),
        (b"", "it starts with nothing"),
        (content[:4] + b"\0\0\0\x01" + content[8:16] + content[16 : 16 + 784], "expected .n, height, width. and .n."),
    ]
    for wrong, message in faults:
        (tmp_path / "plain" / name).write_bytes(wrong)
        with pytest.raises(UserError, match=message):
            import_dataset("fashion_mnist", tmp_path / "plain", data_dir=tmp_path / "home", official=SMALL)
    (tmp_path / "plain" / name).unlink()
    with pytest.raises(UserError, match="neither"):
        import_dataset("fashion_mnist", tmp_path / "plain", data_dir=tmp_path / "home", official=SMALL)
    packed = idx_folder(tmp_path / "packed", splits)
    damaged(packed / f"{name}.gz", 100)
    with pytest.raises(UserError, match="cannot be read"):
        import_dataset("fashion_mnist", packed, data_dir=tmp_path / "home", official=SMALL)
    assert_nothing_left(tmp_path / "home")


def test_images_of_the_users_own(tmp_path):
    splits = random_splits((12, 10, 1), classes=3)
    path = tree_archive(tmp_path / "leaves.tar", tree_files(splits, ("ash", "elm", "oak")), "w")
    prepared, _ = import_dataset("leaves", path, data_dir=tmp_path)
    assert (prepared.name, prepared.version, prepared.shape, prepared.classes) == ("leaves", "1.0.0", (12, 10, 1), 3)
    loaded = load("leaves", tmp_path)
    assert loaded.classes == ("ash", "elm", "oak")
    assert len(loaded.train) == 3 * PER_CLASS["train"]


def test_more_than_tfds_can_shuffle_in_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(builders, "LARGEST_SPLIT", 1 << 16)
    with pytest.raises(UserError, match="cifar10 has more than 0 MiB of train images"):
        import_small(binary_archive(tmp_path / "a.tar.gz", SPLITS), tmp_path / "home")
    assert_nothing_left(tmp_path / "home")
    assert builders.LARGEST_SPLIT < tfds.core.shuffle.MAX_MEM_BUFFER_SIZE

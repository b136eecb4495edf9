"""`imctrain data import` as users call it: a summary, notes, one line for what is wrong, the files that people have."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from data_archives import (
    cifar100_archive,
    encode,
    idx_folder,
    random_splits,
    small_tree,
    svhn_folder,
    tree_archive,
    tree_zip,
    write_tree,
)
from typer.testing import CliRunner

from imctrain.cli.data import app
from imctrain.data import OFFICIAL, load
from imctrain.data.builders import LARGEST_SPLIT
from imctrain.data.importing import import_dataset
from imctrain.data.own.layout import SPLIT_NAMES
from imctrain.data.own.pixels import FORMATS
from imctrain.data.own.splitting import FEW
from imctrain.data.reading.bounds import FREE_BYTES, Bounds
from imctrain.errors import UserError


def command(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "300"})
    if done.exception is not None:
        raise done.exception
    return done.output


def test_a_summary_and_what_is_odd(tmp_path):
    tree = write_tree(tmp_path / "t", small_tree(splits=("train", "val", "test")) | {"train/cat/Thumbs.db": b"x"})
    shown = command("import", "mine", tree, "--data-dir", tmp_path / "home")
    assert "mine imported: 6 training, 6 validation and 6 test images of 6x5x1, 2 classes, in" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["class", "train", "validation", "test"] in lines
    assert ["cat", "3", "3", "3"] in lines
    assert "note: left out: 1 Thumbs.db" in shown
    assert "note: few training images: cat 3, dog 3" in shown
    listed = command("list", "--data-dir", tmp_path / "home")
    assert "mine" in listed
    assert "train 6, validation 6, test 6" in listed
    assert "can be decoded, and are those that were imported" in command("verify", "--data-dir", tmp_path / "home")


def test_options_reach_the_images_and_are_kept(tmp_path):
    home = tmp_path / "home"
    files = small_tree(each=5, splits=("",)) | {"cat/large.png": encode(np.zeros((20, 30, 3), np.uint8))}
    path = tree_zip(tmp_path / "t.zip", files)
    options = [
        "--test-fraction",
        0.2,
        "--seed",
        4,
        "--size",
        "8x6",
        "--mode",
        "rgb",
        "--fit",
        "pad",
        "--background",
        "black",
    ]
    shown = command("import", "mine", path, "--data-dir", home, *options)
    assert "mine imported: 9 training and 2 test images of 8x6x3" in shown
    assert "was already imported" in command("import", "mine", path, "--data-dir", home, *options)
    listed = command("list", "--data-dir", home)
    assert "t.zip (mode=rgb size=8x6 fit=pad background=black test_fraction=0.2 seed=4)" in listed
    with pytest.raises(UserError, match=r"already prepared in .* from it with other options: add --replace"):
        command("import", "mine", path, "--data-dir", home, *options[:2], "--size", "8x6", "--mode", "grey")
    shown = command(
        "import", "mine", path, "--data-dir", home, *options[:2], "--size", "8", "--mode", "gray", "--replace"
    )
    assert "of 8x8x1" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "big"], "--size big is not possible: give height and width, such as 32x32"),
        (["--size", "0x4"], "--size 0x4 is not possible"),
        (["--mode", "cmyk"], "--mode cmyk is not possible: allowed is rgb or grey"),
        (["--fit", "bend"], "--fit bend is not possible: allowed is crop or pad or stretch"),
        (["--background", "pink"], "allowed is white or black"),
        (["--skip-bad", "1.5"], "--skip-bad 1.5 is not possible"),
        (["--max-pixels", "10"], "--max-pixels raises the bound"),
        (["--max-files", "3"], "holds more than 3 files: --max-files"),
        (["--max-bytes", "100"], "--max-bytes"),
    ],
)
def test_options_that_are_not_possible_and_bounds(tmp_path, options, message):
    tree = write_tree(tmp_path / "t", small_tree())
    with pytest.raises(UserError, match=message):
        command("import", "mine", tree, "--data-dir", tmp_path / "home", *options)


def test_many_classes_are_summed_up(tmp_path):
    splits = random_splits((32, 32, 3), classes=100)
    path = cifar100_archive(
        tmp_path / "cifar-100-python.tar.gz", splits, OFFICIAL["cifar100"].expected.classes, binary=False
    )
    shown = command("import", "cifar100", path, "--data-dir", tmp_path / "home")
    lines = [line.split() for line in shown.splitlines()]
    assert ["fewest", "of", "a", "class", "5", "2"] in lines
    assert "another SHA-256 than the published archive; 500 of 50000 train images" in shown
    import tensorflow_datasets as tfds

    coarse = tfds.data_source("cifar100", data_dir=str(tmp_path / "home"))["train"]
    assert all(example["coarse_label"] == example["label"] % 20 for example in (coarse[i] for i in range(0, 500, 50)))


def test_idx_files_of_the_users_own_and_in_archives(tmp_path):
    splits = random_splits((9, 7, 1), classes=4)
    folder = idx_folder(tmp_path / "idx", splits)
    shown = command("import", "mine", folder, "--data-dir", tmp_path / "home")
    assert "mine imported: 20 training and 8 test images of 9x7x1, 4 classes" in shown
    files = {f"deep/{file.name.replace('-idx', '.idx')}": file.read_bytes() for file in folder.iterdir()}
    for path in (tree_zip(tmp_path / "a.zip", files), tree_archive(tmp_path / "a.tar.gz", files)):
        home = tmp_path / f"home-{path.suffix}"
        import_dataset("again", path, data_dir=home)
        assert load("again", home).content == load("mine", tmp_path / "home").content


def test_emnist_is_upright_and_counted_from_zero(tmp_path):
    splits = random_splits((28, 28, 1), classes=26)
    folder = idx_folder(tmp_path / "gzip", splits, kind="letters")
    idx_folder(folder, random_splits((28, 28, 1)), kind="digits")
    prepared, _ = import_dataset("emnist_letters", folder, data_dir=tmp_path / "home")
    loaded = load("emnist_letters", tmp_path / "home")
    assert loaded.classes == tuple("abcdefghijklmnopqrstuvwxyz")
    known = {image.tobytes(): label for image, label in zip(splits["test"].images, splits["test"].labels, strict=True)}
    assert {
        image.tobytes(): label for image, label in zip(loaded.test.images, loaded.test.labels, strict=True)
    } == known
    assert prepared.source.kind == "idx"
    for name, message in (
        ("emnist_mnist", "holds no files of emnist_mnist, but of emnist_digits, emnist_letters"),
        ("mnist", "holds no files of mnist, but of emnist_digits, emnist_letters"),
        ("mine", "holds idx files of emnist_digits, emnist_letters: import it under that name"),
        ("cifar10", "holds idx files, and CIFAR-10 comes as cifar-10-binary.tar.gz"),
    ):
        with pytest.raises(UserError, match=message):
            import_dataset(name, folder, data_dir=tmp_path / "home")


def test_known_data_sets_as_arrays_and_trees(tmp_path):
    """mnist.npz as Keras has it, and folders of digits: held to the same facts as the published files."""
    splits = random_splits((28, 28, 1))
    arrays = {}
    for name, split in splits.items():
        arrays |= {f"x_{name}": split.images[..., 0], f"y_{name}": split.labels}
    np.savez(tmp_path / "mnist.npz", **arrays)
    import_dataset("mnist", tmp_path / "mnist.npz", data_dir=tmp_path / "a")
    files = {
        f"{name}/{label}/{i}.png": encode(image)
        for name, split in splits.items()
        for i, (image, label) in enumerate(zip(split.images, split.labels, strict=True))
    }
    import_dataset("mnist", write_tree(tmp_path / "tree", files), data_dir=tmp_path / "b")
    for home in ("a", "b"):
        loaded = load("mnist", tmp_path / home)
        assert loaded.classes == tuple("0123456789")
        assert sorted(i.tobytes() for i in loaded.train.images) == sorted(i.tobytes() for i in splits["train"].images)
    np.savez(tmp_path / "wrong.npz", **(arrays | {"y_train": arrays["y_train"] + 1}))
    with pytest.raises(UserError, match="has label 10: allowed is 0 to 9"):
        import_dataset("mnist", tmp_path / "wrong.npz", data_dir=tmp_path / "c")


def test_svhn(tmp_path):
    splits = random_splits((32, 32, 3))
    folder = svhn_folder(tmp_path / "svhn", splits)
    notes: list[str] = []
    (folder / "extra_32x32.mat").write_bytes(b"")
    import_dataset("svhn", folder, data_dir=tmp_path / "home", tell=notes.append)
    loaded = load("svhn", tmp_path / "home")
    ours = {image.tobytes(): label for image, label in zip(splits["train"].images, splits["train"].labels, strict=True)}
    found = {image.tobytes(): label for image, label in zip(loaded.train.images, loaded.train.labels, strict=True)}
    assert found == ours
    assert any(note.startswith("extra_32x32.mat is not used") for note in notes)


def wrong_svhn(folder: Path, kind: str) -> Path:
    from scipy.io import savemat

    svhn_folder(folder, random_splits((32, 32, 3), classes=2))
    train = folder / "train_32x32.mat"
    if kind == "cut":
        train.write_bytes(train.read_bytes()[:3000])
    elif kind == "text":
        train.write_bytes(b"hello" * 100)
    elif kind == "missing":
        train.unlink()
    elif kind == "names":
        savemat(train, {"images": np.zeros((32, 32, 3, 2), np.uint8)})
    elif kind == "shape":
        savemat(train, {"X": np.zeros((32, 32, 3, 2)), "y": np.array([[1], [2]])})
    elif kind == "labels":
        savemat(train, {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[0], [2]])})
    elif kind == "file":
        return train
    elif kind == "full images":
        for file in folder.iterdir():
            file.unlink()
        write_tree(
            folder, {"train/1.png": encode(np.zeros((32, 70, 3), np.uint8)), "train/digitStruct.mat": b"\x89HDF"}
        )
    return folder


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut", "cannot be read as a MATLAB file|has no arrays X and y"),
        ("text", "cannot be read as a MATLAB file"),
        ("missing", "has no train_32x32.mat: the folder must hold"),
        ("names", "has no arrays X and y"),
        ("shape", "has X of shape .* and type float64"),
        ("labels", "labels other than 1 to 10"),
        ("file", "is one of SVHN's files: give the folder"),
        ("full images", "is SVHN's format 1, full images with boxes in digitStruct.mat"),
    ],
)
def test_wrong_svhn_files_are_refused(tmp_path, kind, message):
    path = wrong_svhn(tmp_path / "svhn", kind)
    for name in ("svhn", "mine") if kind in ("file", "full images") else ("svhn",):
        with pytest.raises(UserError, match=message) as caught:
            import_dataset(name, path, data_dir=tmp_path / "home")
        assert "\n" not in str(caught.value)


def test_full_images_of_svhn_in_an_archive_are_told(tmp_path):
    files = {"train/1.png": encode(np.zeros((32, 70, 3), np.uint8)), "train/digitStruct.mat": b"\x89HDF"}
    with pytest.raises(UserError, match="SVHN's format 1"):
        import_dataset("svhn", tree_archive(tmp_path / "train.tar.gz", files), data_dir=tmp_path / "home")


def test_a_folder_that_holds_the_archive_names_it(tmp_path):
    folder = tmp_path / "download"
    folder.mkdir()
    tree_zip(folder / "t.zip", small_tree())
    with pytest.raises(UserError, match=r"no image was found; it holds t\.zip: give the path of that"):
        import_dataset("mine", folder, data_dir=tmp_path / "home")
    with pytest.raises(UserError, match="MNIST comes as its four idx files"):
        import_dataset("mnist", write_tree(tmp_path / "x", {"a.txt": b""}), data_dir=tmp_path / "home")


def test_published_files_take_no_options(tmp_path):
    folder = idx_folder(tmp_path / "idx", random_splits((28, 28, 1)))
    with pytest.raises(UserError, match="mnist is imported as it was published: leave the options"):
        command("import", "mnist", folder, "--size", "8x8", "--data-dir", tmp_path / "home")


def test_the_page_on_data_says_what_the_code_does():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    bounds = vars(Bounds())
    for name, bound in bounds.items():
        assert re.search(rf"\| `--max-{name}` \|.*\| {bound} \|", page)
    assert f"{FREE_BYTES >> 20} MiB" in page
    assert f"{LARGEST_SPLIT >> 20} MiB of PNG" in page
    assert f"fewer than {FEW} training images" in page
    for name in (*OFFICIAL, *(name for names in SPLIT_NAMES.values() for name in names)):
        assert f"`{name}`" in page
    assert "Formats: PNG, JPEG, GIF, BMP, TIFF, and WebP" in page
    assert len(FORMATS) == 6
    shown = CliRunner().invoke(app, ["import", "--help"], env={"COLUMNS": "200"}).output
    options = set(re.findall(r"(--[a-z]+(?:-[a-z]+)*)", page)) - {"--replace", "--data-dir"}
    assert options
    assert all(option in shown for option in options)

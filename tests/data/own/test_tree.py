"""Image files of the user's own: where they lie says split and class; what is odd is told, the ambiguous refused."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_archives import encode, small_tree, stored, tree_archive, tree_zip, write_tree
from PIL import Image

from imctrain.data.dataset import RawImages
from imctrain.data.own.tree import read_tree
from imctrain.data.request import Bounds, Options, Request
from imctrain.errors import UserError


def read(path: Path, bounds: Bounds | None = None, **options) -> tuple[RawImages, str]:
    """What is read, and everything that is told."""
    notes: list[str] = []
    request = Request(Options(**options), bounds or Bounds(), tell=notes.append)
    return read_tree(path, request), "\n".join(notes)


def refused(path: Path, message: str, bounds: Bounds | None = None, **options) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(path, bounds, **options)
    assert "\n" not in str(caught.value)


def values(raw: RawImages, split: str) -> list[tuple[str, int]]:
    """(class, first pixel) of each image."""
    part = raw.splits[split]
    return [(raw.classes[label], int(image[0, 0, 0])) for image, label in zip(part.images, part.labels, strict=True)]


EXPECTED = {
    split: [(name, 60 * c + 20 * s + index) for c, name in enumerate(("cat", "dog")) for index in range(3)]
    for s, split in enumerate(("train", "test"))
}


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("TRAIN", "Test"), ("training", "testing"), ("Training", "TST"), ("trn", "test")],
)
def test_splits_are_known_by_their_usual_names_in_any_case(tmp_path, train, test):
    files = {
        name.replace("train/", f"{train}/").replace("test/", f"{test}/"): content
        for name, content in small_tree().items()
    }
    raw, notes = read(write_tree(tmp_path / "t", files))
    assert raw.classes == ("cat", "dog")
    assert {split: values(raw, split) for split in raw.splits} == EXPECTED
    assert notes == ""


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "VAL", "dev", "validate"])
def test_validation_images_stand_for_test_images_or_beside_them(tmp_path, name):
    files = small_tree(splits=("train", name))
    raw, notes = read(write_tree(tmp_path / "two", files))
    assert list(raw.splits) == ["train", "validation"]
    assert "there are no test images: the validation images are used in their place" in notes
    raw, notes = read(write_tree(tmp_path / "three", files | small_tree()))
    assert list(raw.splits) == ["train", "validation", "test"]
    assert '6 validation images are kept: `data.validation = "given"` judges epochs by them' in notes
    assert values(raw, "test") == EXPECTED["test"]


def test_the_same_pixels_from_a_folder_and_from_archives(tmp_path):
    files = small_tree()
    found = []
    for path in (
        write_tree(tmp_path / "t", files),
        tree_zip(tmp_path / "t.zip", {f"deep/er/{name}": content for name, content in files.items()}),
        tree_archive(tmp_path / "t.tar.bz2", dict(reversed(files.items())), "w:bz2", "./x/"),
    ):
        raw, _ = read(path)
        found.append({split: values(raw, split) for split in raw.splits})
        assert raw.source.file == path.name
        assert raw.source.kind == "image-tree"
    assert found == [EXPECTED] * 3


def test_the_checksum_of_a_folder_is_that_of_earlier_versions(tmp_path):
    """SHA-256 of the sorted list of path and SHA-256; pinned, so that the same folder is known to be imported."""
    files = {
        f"{split}/{name}/x.png": encode(np.full((2, 2, 1), k, np.uint8))
        for k, (split, name) in enumerate((s, n) for s in ("train", "test") for n in ("a", "b"))
    }
    listing = "".join(sorted(f"{name}\0{hashlib.sha256(content).hexdigest()}\n" for name, content in files.items()))
    raw, _ = read(write_tree(tmp_path / "t", files))
    assert raw.source.sha256 == hashlib.sha256(listing.encode()).hexdigest()


def test_without_splits_a_share_of_every_class_is_taken(tmp_path):
    tree = write_tree(tmp_path / "t", small_tree(each=10, splits=("",)) | small_tree(("fox",), 5, ("",)))
    refused(tree, "has no test/CLASS/IMAGE: add --test-fraction 0.2")
    raw, notes = read(tree, test_fraction=0.2, seed=3)
    assert {name: len(part) for name, part in raw.splits.items()} == {"train": 20, "test": 5}
    assert np.bincount(raw.splits["test"].labels).tolist() == [2, 2, 1]
    assert "5 of 25 images became test images, by class, with --seed 3" in notes
    assert raw.source.how == "test_fraction=0.2 seed=3"
    both = sorted(values(raw, "train") + values(raw, "test"))
    assert both == sorted(
        values(read(tree, test_fraction=0.4)[0], "train") + values(read(tree, test_fraction=0.4)[0], "test")
    )
    again, other = read(tree, test_fraction=0.2, seed=3)[0], read(tree, test_fraction=0.2, seed=4)[0]
    assert values(again, "test") == values(raw, "test")
    assert values(other, "test") != values(raw, "test")


def test_a_share_is_taken_of_training_images_where_there_are_no_others(tmp_path):
    tree = write_tree(tmp_path / "t", small_tree(splits=("train",)))
    refused(tree, "has no test/CLASS/IMAGE")
    raw, _ = read(tree, test_fraction=0.34)
    assert {name: len(part) for name, part in raw.splits.items()} == {"train": 4, "test": 2}
    write_tree(tree, small_tree(splits=("val",)))
    raw, _ = read(tree, test_fraction=0.34)
    assert {name: len(part) for name, part in raw.splits.items()} == {"train": 4, "validation": 6, "test": 2}
    write_tree(tree, small_tree())
    refused(tree, "has test images: leave out --test-fraction", test_fraction=0.34)
    one = write_tree(tmp_path / "one", small_tree(each=4, splits=("",)) | small_tree(("fox",), 1, ("",)))
    refused(one, "has one image of class fox: --test-fraction needs two", test_fraction=0.3)
    refused(one, "--test-fraction 1.5 is not possible", test_fraction=1.5)


def test_only_test_images_are_no_data_set(tmp_path):
    refused(write_tree(tmp_path / "t", small_tree(splits=("test",))), "has no train/CLASS/IMAGE, only test")


def test_classes_that_are_numbers_are_counted(tmp_path):
    tree = write_tree(tmp_path / "t", small_tree(("10", "9", "1"), 1))
    assert read(tree)[0].classes == ("1", "9", "10")
    write_tree(tree, small_tree(("x",), 1))
    assert read(tree)[0].classes == ("1", "10", "9", "x")


def test_empty_classes_are_told(tmp_path):
    tree = write_tree(tmp_path / "t", small_tree())
    (tree / "train" / "fox").mkdir()
    raw, notes = read(tree)
    assert raw.classes == ("cat", "dog")
    assert "class fox is empty: it is left out" in notes
    (tree / "test" / "fox").mkdir()
    (tree / "test" / "fox" / "notes.txt").write_text("none yet")
    assert "class fox is empty: it is left out" in read(tree)[1]
    write_tree(tree, {"train/fox/1.png": encode(np.zeros((6, 5, 1), np.uint8))})
    refused(tree, "has train/fox but no test/fox: both splits need the same classes")


def test_empty_classes_are_told_without_splits_and_in_archives(tmp_path):
    tree = write_tree(tmp_path / "t", small_tree(splits=("",)))
    (tree / "fox").mkdir()
    assert "class fox is empty" in read(tree, test_fraction=0.4)[1]
    path = tree_zip(tmp_path / "t.zip", small_tree())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train/fox/", b"")
    assert "class fox is empty" in read(path)[1]


def test_one_class_is_refused(tmp_path):
    refused(
        write_tree(tmp_path / "t", small_tree(("only",))),
        r"has one class \(only\): a network that classifies needs two",
    )
    refused(
        write_tree(tmp_path / "u", small_tree(("only",), splits=("",))), r"has one class \(only\)", test_fraction=0.5
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\nb", r"a line break, a control character or bytes that are no text"),
        ("a\tb", "a control character"),
        (os.fsdecode(b"a\xffb"), "bytes that are no text"),
        (" a", "with blanks at an end"),
        ("a ", "with blanks at an end"),
    ],
)
def test_class_names_that_no_file_can_hold_are_refused(tmp_path, name, message):
    refused(write_tree(tmp_path / "t", small_tree(("cat", name))), message)


def test_class_names_that_are_long_or_of_any_script_are_read(tmp_path):
    names = ("x" * 253, "Bär & Söhne, 100 %", "ねこ")
    raw, _ = read(write_tree(tmp_path / "t", small_tree(names, 1)))
    assert sorted(raw.classes) == sorted(names)
    refused(write_tree(tmp_path / "u", small_tree(("e\u0301", "\u00e9"), 1)), "two classes that are both written")


def test_files_with_odd_names_are_read(tmp_path):
    tree = write_tree(tmp_path / "t", small_tree())
    content = encode(np.full((6, 5, 1), 250, np.uint8))
    for name in ("a\nb.png", os.fsdecode(b"\xff.png"), "no suffix", "UPPER.PNG"):
        (tree / "train" / "cat" / name).write_bytes(content)
    assert len(read(tree)[0].splits["train"]) == 6 + 4
    (tree / "train" / "cat" / "a\nb.png").write_bytes(b"no image")
    refused(tree, r"train/cat/a\\nb.png is no image that can be decoded")


JUNK = {
    "train/dog/Thumbs.db": b"\xd0\xcf\x11\xe0",
    "train/dog/.DS_Store": b"\0\0\0\1Bud1",
    "test/cat/desktop.ini": b"[x]",
    "__MACOSX/train/cat/._1.png": b"\0\5\x16\7",
    "train/.ipynb_checkpoints/1.png": encode(np.zeros((9, 9, 1), np.uint8)),
    "README.md": b"# read me",
    "train/cat/notes.txt": b"notes",
    "train/cat/LICENSE": b"free",
    "classes.csv": b"a,b\n1,2\n",
}


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_what_systems_and_people_leave_is_left_out_and_told(tmp_path, form):
    files = small_tree() | JUNK
    path = write_tree(tmp_path / "t", files) if form == "folder" else tree_zip(tmp_path / "t.zip", files)
    raw, notes = read(path)
    assert {split: values(raw, split) for split in raw.splits} == EXPECTED
    assert "left out:" in notes
    for told in (
        "1 Thumbs.db",
        "hidden files",
        "1 desktop.ini",
        "__MACOSX",
        ".txt files",
        ".md files",
    ):
        assert told in notes, notes


def test_images_outside_of_classes_are_told(tmp_path):
    image = encode(np.zeros((6, 5, 1), np.uint8))
    tree = write_tree(
        tmp_path / "t", small_tree() | {"banner.png": image, "train/loose.png": image, "more/x/1.png": image}
    )
    raw, notes = read(tree)
    assert {split: values(raw, split) for split in raw.splits} == EXPECTED
    assert "3 images lie outside of the class folders of its splits and are left out (banner.png)" in notes


def test_folders_inside_of_classes_belong_to_them(tmp_path):
    files = small_tree() | {"train/cat/2020/may/1.png": encode(np.full((6, 5, 1), 200, np.uint8))}
    raw, notes = read(write_tree(tmp_path / "t", files))
    assert ("cat", 200) in values(raw, "train")
    assert "1 images lie in folders inside of their class (cat/2020/may/1.png is of class cat)" in notes


def test_a_split_in_a_folder_of_its_own_name_is_found(tmp_path):
    """As archives of data sets are often unpacked: train/train/CLASS."""
    files = {
        name.replace("train/", "train/train/").replace("test/", "test/test/"): c for name, c in small_tree().items()
    }
    raw, _ = read(write_tree(tmp_path / "t", files))
    assert {split: values(raw, split) for split in raw.splits} == EXPECTED


def test_a_class_may_be_called_like_a_split(tmp_path):
    raw, _ = read(write_tree(tmp_path / "t", small_tree(("train", "bus"), splits=("",))), test_fraction=0.4)
    assert raw.classes == ("bus", "train")
    raw, _ = read(write_tree(tmp_path / "u", small_tree(("test", "dev"))))
    assert raw.classes == ("dev", "test")


def test_two_trees_or_two_folders_of_a_split_are_refused(tmp_path):
    files = small_tree()
    refused(write_tree(tmp_path / "t", files | {f"again/{n}": c for n, c in files.items()}), "more than one tree")
    refused(
        write_tree(tmp_path / "u", files | small_tree(splits=("Train",))),
        "has the folders Train and train for one split",
    )


def test_images_without_classes_are_told(tmp_path):
    files = {f"{index}.png": encode(np.full((6, 5, 1), index, np.uint8)) for index in range(4)}
    refused(write_tree(tmp_path / "t", files), r"has images without a class \(0.png\): put them into class folders")
    refused(write_tree(tmp_path / "u", {f"train/{n}": c for n, c in files.items()}), "images without a class|one class")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no image was found")


TABLE_FILES = {f"{index}.png": encode(np.full((6, 5, 1), index, np.uint8)) for index in range(8)}


def table(*rows: str, header: str = "filename,label") -> bytes:
    return "\n".join([header, *rows, ""]).encode()


@pytest.mark.parametrize(
    ("prefix", "content"),
    [
        ("", table(*(f"{i}.png,{'ab'[i % 2]}" for i in range(8)))),
        ("", table(*(f"{i},{'ab'[i % 2]}" for i in range(8)), header="id,class")),
        ("images/", table(*(f"images/{i}.png;{'ab'[i % 2]}" for i in range(8)), header="Image;Label")),
        ("images/", table(*(f"./{i}.png\t{'ab'[i % 2]}" for i in range(8)), header="\ufefffile\tlabel")),
    ],
)
def test_a_table_of_labels_beside_a_flat_folder_is_read(tmp_path, prefix, content):
    files = {prefix + name: image for name, image in TABLE_FILES.items()} | {"labels.csv": content}
    raw, notes = read(write_tree(tmp_path / "t", files), test_fraction=0.25)
    found = sorted(values(raw, "train") + values(raw, "test"), key=lambda pair: pair[1])
    assert found == [("ab"[i % 2], i) for i in range(8)]
    assert "classes are read from labels.csv" in notes
    assert raw.source.kind == "image-list"


def test_tables_may_say_the_split(tmp_path):
    rows = (f"{i}.png,{'ab'[i % 2]},{('train', 'TEST')[i // 4]}" for i in range(8))
    raw, _ = read(write_tree(tmp_path / "t", TABLE_FILES | {"x.csv": table(*rows, header="filename,label,split")}))
    assert values(raw, "test") == [("a", 4), ("a", 6), ("b", 5), ("b", 7)]
    two = {
        f"{name}.csv": table(*(f"{i}.png,{'ab'[i % 2]}" for i in range(low, low + 4)))
        for name, low in (("train", 0), ("test", 4))
    }
    again, _ = read(write_tree(tmp_path / "u", TABLE_FILES | two))
    assert values(again, "test") == values(raw, "test")


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["0.png,a", "9.png,b"], "filename,label", "labels.csv, line 3 names 9.png, which is not there"),
        (["0.png,a", "0.png,b"], "filename,label", "line 3 names 0.png, which was named before"),
        (["0.png,a", "1.png"], "filename,label", "line 3 has 1 cells, fewer than its header"),
        (["0.png,a,x"], "filename,label,split", "line 2 has the split x: known are train, validation and test"),
        (["0.png,a"], "name of file,label", "images without a class"),
        (["0.png,a", "1.png,"], "filename,label", "has a class without a name"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, rows, header, message):
    tree = write_tree(tmp_path / "t", TABLE_FILES | {"labels.csv": table(*rows, header=header)})
    refused(tree, message, test_fraction=0.5)


def test_images_that_no_table_names_are_told(tmp_path):
    rows = (f"{i}.png,{'ab'[i % 2]}" for i in range(6))
    raw, notes = read(write_tree(tmp_path / "t", TABLE_FILES | {"labels.csv": table(*rows)}), test_fraction=0.34)
    assert "2 images are in no table and are left out (6.png)" in notes
    assert sum(map(len, raw.splits.values())) == 6


def test_bad_images_are_refused_or_counted(tmp_path):
    files = small_tree(each=20)
    whole = stored(Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 5), dtype=np.uint8)))
    tree = write_tree(tmp_path / "t", files | {"train/cat/bad.png": b"hello", "test/dog/cut.png": whole[:-30]})
    refused(
        tree, "test/dog/cut.png is no image|train/cat/bad.png is no image .*: replace it, remove it, or add --skip-bad"
    )
    refused(tree, "1 of 82 images cannot be read .*more than --skip-bad 0.01|more than --skip-bad 0.01", skip_bad=0.01)
    raw, notes = read(tree, skip_bad=0.05)
    assert {name: len(part) for name, part in raw.splits.items()} == {"train": 40, "test": 40}
    assert "left out: 2 of 82 images that cannot be read (train/cat/bad.png, test/dog/cut.png)" in notes
    expected, _ = read(write_tree(tmp_path / "u", files))
    assert values(raw, "test") == values(expected, "test")
    (tree / "train" / "cat" / "gone.png").symlink_to("nowhere.png")
    refused(tree, "train/cat/bad.png|train/cat/gone.png is a link to nothing")


def test_bounds_of_pixels_and_of_all_images(tmp_path):
    tree = write_tree(tmp_path / "t", small_tree())
    refused(tree, "has 6x5 pixels, more than 29: --max-pixels", Bounds(pixels=29))
    refused(tree, "takes 180 bytes when it is decoded, more than 179: --size .*--max-bytes", Bounds(bytes=179))
    read(tree, Bounds(pixels=30, bytes=180 * 100))


def test_sizes_and_colours_must_agree_or_be_asked_for(tmp_path):
    colour = encode(np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8))
    large = encode(np.full((9, 7, 1), 7, np.uint8))
    tree = write_tree(tmp_path / "t", small_tree() | {"train/cat/x.png": colour})
    refused(tree, "is 6x5x3, but .* is 6x5x1: 12 images are grey and 1 coloured; add --mode rgb or --mode grey")
    raw, notes = read(tree, mode="rgb")
    assert raw.splits["train"].images.shape == (7, 6, 5, 3)
    assert "12 grey, taken as RGB" in notes
    raw, notes = read(tree, mode="grey")
    assert raw.splits["train"].images.shape == (7, 6, 5, 1)
    assert "1 coloured, turned grey" in notes
    tree = write_tree(tmp_path / "u", small_tree() | {"train/cat/x.png": large})
    refused(tree, "train/cat/x.png is 9x7x1, but .* is 6x5x1: .*these have 2, from 6x5 to 9x7; add --size HxW")
    raw, notes = read(tree, size=(4, 3), fit="stretch")
    assert raw.splits["train"].images.shape == (7, 4, 3, 1)
    assert "13 resized to 4x3 (stretch)" in notes
    assert raw.source.how == "size=4x3 fit=stretch"


def test_copies_are_told(tmp_path):
    files = small_tree()
    files |= {"train/cat/copy.png": files["train/cat/0.png"], "test/dog/leak.png": files["train/cat/0.png"]}
    _, notes = read(write_tree(tmp_path / "t", files))
    assert "2 files are copies of others; 1 of an image in another split; 1 of an image of another class" in notes


def test_dark_images_of_sixteen_bits_are_told(tmp_path):
    files = {
        f"{split}/{name}/1.png": stored(Image.fromarray(np.full((3, 3), 4095 - k, np.uint16)))
        for split in ("train", "test")
        for k, name in enumerate(("a", "b"))
    }
    _, notes = read(write_tree(tmp_path / "t", files))
    assert "16-bit images reach 4095 of 65535, and so 15 of 255: they are dark" in notes
    assert "4 with 16 bits a pixel, brought to 8" in notes

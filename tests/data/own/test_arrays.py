"""Arrays of the user's own: names, shapes, types and values say what they are, or it is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from imctrain.data.dataset import RawImages
from imctrain.data.own.array_names import meaning_of
from imctrain.data.own.arrays import read_arrays
from imctrain.data.request import Bounds, Options, Request
from imctrain.errors import UserError


def read(path: Path, bounds: Bounds | None = None, **options) -> tuple[RawImages, str]:
    notes: list[str] = []
    request = Request(Options(**options), bounds or Bounds(), tell=notes.append)
    return read_arrays(path, request), "\n".join(notes)


def refused(path: Path, message: str, bounds: Bounds | None = None, **options) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(path, bounds, **options)
    assert "\n" not in str(caught.value)


def images_of(raw: RawImages, split: str) -> np.ndarray:
    return np.stack(list(raw.splits[split].images))


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "x_train": rng.integers(0, 256, (30, 5, 4, 3), dtype=np.uint8),
        "y_train": np.arange(30) % 3,
        "x_test": rng.integers(0, 256, (12, 5, 4, 3), dtype=np.uint8),
        "y_test": np.arange(12) % 3,
    }


@pytest.fixture
def save(tmp_path):
    def saved(arrays: dict[str, np.ndarray], name: str = "d.npz") -> Path:
        np.savez_compressed(tmp_path / name, **arrays)
        return tmp_path / name

    return saved


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("x_train", ("train", "images")),
        ("X_TEST", ("test", "images")),
        ("trainX", ("train", "images")),
        ("Xtrain", ("train", "images")),
        ("yval", ("validation", "labels")),
        ("train_images", ("train", "images")),
        ("trainLabels", ("train", "labels")),
        ("val_labels", ("validation", "labels")),
        ("kmnist-test-imgs", ("test", "images")),
        ("images", (None, "images")),
        ("Y", (None, "labels")),
        ("class_names", (None, "classes")),
        ("classes", (None, "classes")),
        ("arr_0", (None, None)),
        ("boxes", (None, None)),
        ("train", ("train", None)),
    ],
)
def test_names_of_arrays(name, meaning):
    assert meaning_of(name) == meaning


@pytest.mark.parametrize("form", ["savez_compressed", "savez", "npy"])
def test_four_arrays_are_the_data_set(tmp_path, arrays, form):
    if form == "npy":
        path = tmp_path / "folder"
        path.mkdir()
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
    else:
        path = tmp_path / "d.npz"
        getattr(np, form)(path, **arrays)
    raw, notes = read(path)
    assert notes == ""
    assert raw.classes == ("0", "1", "2")
    assert (raw.source.kind, raw.source.file) == ("arrays", path.name)
    for split in ("train", "test"):
        np.testing.assert_array_equal(images_of(raw, split), arrays[f"x_{split}"])
        np.testing.assert_array_equal(raw.splits[split].labels, arrays[f"y_{split}"])


def test_large_arrays_are_read_in_blocks(tmp_path, arrays, save, monkeypatch):
    monkeypatch.setattr("imctrain.data.own.array_files._ROWS_BYTES", 7 * 60)
    raw, _ = read(save(arrays))
    np.testing.assert_array_equal(images_of(raw, "train"), arrays["x_train"])
    raw, _ = read(save({"images": arrays["x_train"], "labels": arrays["y_train"]}), test_fraction=0.3)
    assert {split: len(part) for split, part in raw.splits.items()} == {"train": 21, "test": 9}
    known = {image.tobytes(): label for image, label in zip(arrays["x_train"], arrays["y_train"], strict=True)}
    for split in raw.splits:
        for image, label in zip(raw.splits[split].images, raw.splits[split].labels, strict=True):
            assert known.pop(image.tobytes()) == label
    assert not known


def test_validation_arrays_are_kept(arrays, save):
    more = {"x_val": arrays["x_test"][:6], "y_val": arrays["y_test"][:6]}
    raw, notes = read(save(arrays | more))
    assert list(raw.splits) == ["train", "validation", "test"]
    assert "6 validation images are kept" in notes


VALUES = {
    "bool": (lambda x: x > 127, lambda x: np.where(x > 127, 255, 0), "truth values became 0 and 255"),
    "int64": (lambda x: x.astype(np.int64), lambda x: x, ""),
    "float 0 to 1": (lambda x: (x / 255).astype(np.float32), lambda x: x, "floats from 0 to 1 became 0 to 255"),
    "float 0 to 255": (lambda x: x + 0.25, lambda x: x, "were rounded to whole numbers"),
    "uint16": (lambda x: x.astype(np.uint16) * 257, lambda x: x, "16-bit values were brought to 8 bits"),
    "big-endian": (lambda x: x.astype(">f8") / 255, lambda x: x, "floats from 0 to 1"),
    "column-major": (np.asfortranarray, lambda x: x, ""),
    "channels first": (lambda x: np.ascontiguousarray(x.transpose(0, 3, 1, 2)), lambda x: x, ""),
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_become_eight_bits_by_their_type_and_range(arrays, save, kind):
    change, expected, note = VALUES[kind]
    arrays["x_train"][0, 0, 0] = 254
    changed = {name: change(array) if name.startswith("x") else array for name, array in arrays.items()}
    if kind == "float 0 to 255":
        changed |= {name: np.minimum(changed[name], 255) for name in ("x_train", "x_test")}
    raw, notes = read(save(changed))
    np.testing.assert_array_equal(images_of(raw, "train"), expected(arrays["x_train"]))
    np.testing.assert_array_equal(images_of(raw, "test"), expected(arrays["x_test"]))
    assert note in notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x / 128 - 1.0, "values from -1 to .*; give them as they were before scaling"),
        (lambda x: x * 3.0, "images are 0 to 255, 0 to 1 in floats, or uint16"),
        (lambda x: np.where(x > 200, np.nan, x), "values that are not finite"),
        (lambda x: (x > 100).astype(np.int32), "in whole numbers, which may be 0 to 1 or 0 to 255"),
        (lambda x: x.astype(str), "values of type <U3: images are numbers"),
        (lambda x: x.reshape(len(x), -1), r"has shape \(30, 60\): images are \[n, h, w\]"),
        (lambda x: x[..., :2], r"images are \[n, h, w\]"),
        (lambda x: np.moveaxis(x, 0, -1), "the images are along the last dimension: transpose it"),
        (lambda x: x[:-1], "there are 30 labels: as many are needed"),
        (lambda x: x[:, :3], "where channels may come first or last"),
        (lambda x: x[:, :0], "there are no images in it"),
        (lambda x: x.astype(complex), "values of type complex128: allowed are whole numbers"),
    ],
)
def test_values_and_shapes_that_say_nothing_are_refused(arrays, save, change, message):
    arrays["x_train"][0, 0, 0], arrays["x_train"][0, 0, 1] = 0, 255
    changed = {"x_train": change(arrays["x_train"])}
    if changed["x_train"].shape == arrays["x_train"].shape:  # values: of all arrays
        changed["x_test"] = change(arrays["x_test"])
    refused(save(arrays | changed), message)


def test_grey_images_need_no_channel(arrays, save):
    raw, _ = read(save({name: array[..., 0] if name.startswith("x") else array for name, array in arrays.items()}))
    assert raw.splits["train"].images.shape == (30, 5, 4, 1)


LABELS = {
    "text": (lambda y: np.array(["cat", "dog", "ant"])[y], ("ant", "cat", "dog"), [1, 2, 0]),
    "bytes": (lambda y: np.array([b"cat", b"dog", b"ant"])[y], ("ant", "cat", "dog"), [1, 2, 0]),
    "one-hot": (lambda y: np.eye(3)[y], ("0", "1", "2"), [0, 1, 2]),
    "a column": (lambda y: y[:, None].astype(np.uint8), ("0", "1", "2"), [0, 1, 2]),
    "floats": (lambda y: y.astype(float), ("0", "1", "2"), [0, 1, 2]),
    "with gaps": (lambda y: np.array([7, -1, 30])[y], ("-1", "30", "7"), [2, 0, 1]),
    "from 1": (lambda y: y + 9, ("9", "10", "11"), [0, 1, 2]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_in_every_form(arrays, save, kind):
    change, classes, place = LABELS[kind]
    raw, _ = read(save({name: change(a) if name.startswith("y") else a for name, a in arrays.items()}))
    assert raw.classes == classes
    np.testing.assert_array_equal(raw.splits["train"].labels, np.array(place)[arrays["y_train"]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y + 0.5, "labels that are not whole numbers"),
        (lambda y: np.stack([y, y], 1), "is not one-hot: a label is one class an image"),
        (lambda y: np.zeros_like(y), "has one class|no training image of it"),
        (lambda y: np.array([["a"]] * len(y), object), "pickled objects, which can run any code"),
        (lambda y: y[:0], "labels are .n."),
    ],
)
def test_labels_that_say_nothing_are_refused(arrays, save, change, message):
    refused(save(arrays | {"y_train": change(arrays["y_train"])}), message)


def test_classes_may_be_named(arrays, save):
    raw, _ = read(save(arrays | {"class_names": np.array(["ant", "bee", "cow", "doe"])}))
    assert raw.classes == ("ant", "bee", "cow")
    raw, notes = read(save(arrays | {"class_names": np.array(["ant"])}))
    assert raw.classes == ("0", "1", "2")
    assert "class_names does not name the labels and is not used" in notes


def test_classes_that_are_never_trained_are_refused(arrays, save):
    arrays["y_test"][0] = 3
    refused(save(arrays), "has test images of class 3 and no training image of it")


def test_ambiguous_and_missing_arrays_are_told(arrays, save):
    refused(
        save(arrays | {"train_images": arrays["x_train"]}),
        "x_train and train_images, which could both be the images of train",
    )
    refused(save({k: v for k, v in arrays.items() if k != "y_test"}), "has no labels of test among its arrays")
    refused(save({"a": arrays["x_train"], "b": arrays["x_train"]}), "whose names do not say what they are")
    refused(save({"x_test": arrays["x_test"], "y_test": arrays["y_test"]}), "has no train images and labels, only test")
    refused(save({"images": arrays["x_train"], "labels": arrays["y_train"]}), "add --test-fraction")
    _, notes = read(save(arrays | {"boxes": np.zeros((30, 4))}))
    assert "arrays that are not used: boxes" in notes
    raw, _ = read(save({"arr_0": arrays["x_train"], "arr_1": arrays["y_train"]}), test_fraction=0.2)
    assert len(raw.splits["train"]) == 24


def test_a_single_array_is_told(tmp_path, arrays):
    np.save(tmp_path / "x_train.npy", arrays["x_train"])
    refused(tmp_path / "x_train.npy", "holds one array: give an npz file with x_train, .* or the folder")


def test_a_folder_of_npz_files_with_one_array_each(tmp_path, arrays):
    """As Kuzushiji-MNIST is published: kmnist-train-imgs.npz with arr_0."""
    folder = tmp_path / "k"
    folder.mkdir()
    for name, key in (
        ("train-imgs", "x_train"),
        ("train-labels", "y_train"),
        ("test-imgs", "x_test"),
        ("test-labels", "y_test"),
    ):
        np.savez_compressed(folder / f"kmnist-{name}.npz", arrays[key])
    raw, _ = read(folder)
    np.testing.assert_array_equal(images_of(raw, "test"), arrays["x_test"])


def test_sizes_and_colours_as_asked_for(arrays, save):
    raw, _ = read(save(arrays), size=(8, 8), mode="grey", fit="stretch")
    assert raw.splits["train"].images.shape == (30, 8, 8, 1)
    assert images_of(raw, "train").std() > 5
    small = arrays | {"x_test": arrays["x_test"][:, :4]}
    refused(save(small), "has images of 4x4 and 5x4: add --size")
    assert read(save(small), size=(4, 4))[0].splits["test"].images.shape == (12, 4, 4, 3)
    grey = arrays | {"x_test": arrays["x_test"][..., 0]}
    refused(save(grey), "add --mode rgb or --mode grey")
    assert read(save(grey), mode="rgb")[0].splits["test"].images.shape == (12, 5, 4, 3)


def npy(header: dict[str, object], data: bytes) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            npy({"descr": "|u1", "fortran_order": False, "shape": (30, 5, 4, 3)}, bytes(99)),
            "cannot be read .*ends inside",
        ),
        (
            npy({"descr": "|u1", "fortran_order": False, "shape": (30, 5, 4, 3)}, bytes(1801)),
            "more data than its header",
        ),
        (
            npy({"descr": "|u1", "fortran_order": False, "shape": (30, -5, 4, 3)}, b""),
            "has the shape .*: write it again",
        ),
        (
            npy({"descr": "|u1", "fortran_order": False, "shape": (10**9, 64, 64, 3)}, b""),
            "there are 30 labels|more than",
        ),
        (npy({"descr": "|O", "fortran_order": False, "shape": (30,)}, b""), "pickled objects"),
        (npy({"descr": [("a", "<i4")], "fortran_order": False, "shape": (30,)}, b""), "values of type"),
        (b"\x93NUMPY\x01\x00\xff\xff", "a header of 65535 bytes"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': __imp}", "a header that cannot be read"),
        (b"\x93NUMPY\x09\x00", "is of version 9.0"),
        (b"hello", "no array of numpy's|cannot be read"),
    ],
)
def test_damaged_arrays_are_refused(tmp_path, arrays, content, message):
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", content)
        for name in ("y_train", "x_test", "y_test"):
            stream = io.BytesIO()
            np.save(stream, arrays[name])
            archive.writestr(f"{name}.npy", stream.getvalue())
    refused(path, message)


def test_arrays_keep_to_their_bounds(arrays, save, monkeypatch):
    refused(
        save(arrays),
        "takes 1800 bytes when it is decoded, more than 1700|unpacks to more than 1700",
        Bounds(bytes=1700),
    )
    monkeypatch.setattr("imctrain.data.reading.bounds.FREE_BYTES", 1000)
    blank = {name: np.zeros_like(a) if name.startswith("x") else a for name, a in arrays.items()}
    refused(save(blank), "over 1 times as many.*--max-ratio", Bounds(ratio=1))
    monkeypatch.setattr("imctrain.data.own.array_files._SMALL", 100)
    refused(
        save({k: np.asfortranarray(v) for k, v in arrays.items()}),
        "in column-major order, and would be read as a whole|would be read as a whole",
    )

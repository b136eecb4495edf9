"""Held-out images: stratified, the same for every seed, never trained on; the test images are measured when asked."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_tools import call, metrics, spawn_killed, write

import imctrain
from imctrain.data import Split, load, parts_of
from imctrain.data.dataset import Source
from imctrain.data.holdout import held_out
from imctrain.data.importing import import_dataset
from imctrain.errors import UserError
from imctrain.records.result import Result
from imctrain.settings import load_config
from imctrain.sweep.trial import trial_key
from imctrain.training.loop import make_batches

FLOAT = """
name = "tiny"
tensorboard = false
data = { name = "digits", batch_size = 32, eval_batch_size = 100, train_limit = 400, VALIDATION }
model = { name = "mlp", width = 8 }
training = { epochs = 2, log_every = 4 }
imc.path = "float"
"""


def config_of(tmp_path: Path, validation: str, *overrides: str):
    return load_config(write(tmp_path, FLOAT.replace("VALIDATION", validation)), overrides)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 60), min_size=2, max_size=8), share=st.floats(0.0, 1.0), seed=st.integers(0, 2**16)
)
def test_every_class_gives_its_share(sizes, share, seed):
    labels = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    labels = np.random.default_rng(seed).permutation(labels)
    count = round(len(sizes) + share * (len(labels) - 2 * len(sizes)))
    rows = held_out(labels, count)
    assert len(rows) == count == len(set(rows))
    assert list(rows) == sorted(rows)
    found = np.bincount(labels[rows], minlength=len(sizes))
    assert (found >= 1).all()
    assert (found < np.asarray(sizes)).all()
    quota = count * np.asarray(sizes) / len(labels)
    # Whole images are within one of the share wherever a class is not at one of its ends.
    free = (quota >= 1) & (quota <= np.asarray(sizes) - 1)
    if free.all():
        assert (abs(found - quota) < 1 + 1e-9).all()


def test_a_share_and_the_number_it_stands_for_are_the_same_images():
    labels = load("digits").train.labels
    assert np.array_equal(held_out(labels, 0.25), held_out(labels, round(0.25 * len(labels))))


def test_training_images_never_include_a_held_out_one(tmp_path):
    """Told by content: every held-out image that has no twin in the whole split is in no batch of an epoch."""
    data = load("digits")
    numbered = Split(data.train.images.copy(), data.train.labels)
    # The number of the image in its first two pixels.
    numbered.images[:, 0, 0, 0] = np.arange(len(numbered)) % 256
    numbered.images[:, 0, 1, 0] = np.arange(len(numbered)) // 256
    marked = dataclasses.replace(data, train=numbered, mean=(0.0,), std=(1 / 255,))
    config = config_of(tmp_path, "validation = 0.2", "data.train_limit=1000")
    train, judged, test = make_batches(config, marked)

    def numbers(batches, epoch):
        found = []
        for step in range(batches.steps_per_epoch):
            batch = batches.batch(epoch, step)
            pixels = np.rint(batch.images[batch.mask > 0]).astype(int)
            found += list(pixels[:, 0, 0, 0] + 256 * pixels[:, 0, 1, 0])
        return found

    held = numbers(judged, 0)
    assert len(held) == len(set(held)) == 200
    assert train.steps_per_epoch == 800 // 32
    for epoch in range(2):
        seen = numbers(train, epoch)
        assert len(set(seen)) == 800
        assert not set(seen) & set(held)
    assert np.array_equal(test.split.images, data.test.images)
    # The same for every seed of a training.
    _, other, _ = make_batches(config.replace(seed=5), marked)
    assert numbers(other, 0) == held


def test_without_validation_nothing_is_another(tmp_path):
    """The same split objects, order of batches and trial key as before there was such a setting."""
    config = config_of(tmp_path, "augment = {}")
    data = load("digits")
    train, judged, test = make_batches(config, data)
    assert parts_of(data).train is data.train
    assert parts_of(data).evaluation is parts_of(data).test is data.test
    assert np.array_equal(train.split.images, data.train.images[:400])
    assert judged.split is test.split
    order = np.random.default_rng((0, 0, 0)).permutation(400)
    assert np.array_equal(train.batch(0, 1).labels, data.train.labels[order[32:64]])
    assert trial_key(config) != trial_key(config_of(tmp_path, "validation = 0.5"))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A data directory with a data set that has validation images of its own."""
    home = tmp_path_factory.mktemp("three")
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 60), ("val", 24), ("test", 20)):
        arrays[f"x_{split}"] = rng.integers(0, 256, (count, 4, 4), dtype=np.uint8)
        arrays[f"y_{split}"] = np.arange(count) % 2
    np.savez(home / "three.npz", **arrays)
    import_dataset("three", home / "three.npz", data_dir=home)
    return home, arrays


def pixels(split: Split) -> list[bytes]:
    return sorted(image.tobytes() for image in split.images)


def test_validation_images_that_a_data_set_gives_are_used_when_asked_for(three, tmp_path):
    home, arrays = three
    data = load("three", home)
    given = parts_of(data, validation="given")
    assert pixels(given.train) == sorted(image.tobytes() for image in arrays["x_train"])
    assert pixels(given.evaluation) == sorted(image.tobytes() for image in arrays["x_val"])
    assert pixels(given.test) == sorted(image.tobytes() for image in arrays["x_test"])
    assert parts_of(data).evaluation is data.test
    # A share holds out training images, as of every data set.
    assert len(parts_of(data, validation=0.2).train) == 48
    with pytest.raises(UserError, match=r"data.validation = 'given' is not possible: digits has no validation images"):
        parts_of(load("digits"), validation="given")
    config = config_of(tmp_path, "validation = 'given'")
    assert config.data.validation == "given"
    assert trial_key(config) != trial_key(config_of(tmp_path, "validation = 0.5"))


def test_given_validation_images_are_part_of_the_content(three):
    """Train and test alone for data sets that TFDS prepared: so results that were kept of those say."""
    home, _ = three
    data = load("three", home)
    assert data.validation is not None
    assert dataclasses.replace(data, known_content="", known_validation="").content == data.content
    plain = dataclasses.replace(data, validation=None)
    assert data.content != plain.content == data.known_content
    labels = np.array(data.validation.labels)
    labels[0] ^= 1
    other = dataclasses.replace(data, validation=Split(data.validation.images, labels), known_validation="")
    assert other.content != data.content
    assert dataclasses.replace(other, source=Source("tfds")).content == plain.content


@pytest.mark.slow
def test_a_run_is_judged_by_given_validation_images(three, tmp_path):
    home, _ = three
    text = FLOAT.replace('name = "digits", batch_size = 32', f'name = "three", data_dir = "{home}", batch_size = 20')
    path = write(tmp_path, text.replace("train_limit = 400, VALIDATION", 'validation = "given", test_at_end = true'))
    imctrain.train(imctrain.load_config(path), out=tmp_path / "out", quiet=True)
    result = Result.read(tmp_path / "out" / "result.json")
    assert (result.validation_images, result.test_images) == (24, 20)
    assert result.steps == 2 * (60 // 20)
    assert tomllib.loads((tmp_path / "out" / "config.toml").read_text())["data"]["validation"] == "given"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("validation = 0.0", "data.validation = 0.0 is not possible: allowed is above 0"),
        ("validation = 2.5", "a share below 1, or a whole number of images"),
        ("validation = 'half'", "data.validation = 'half' is not possible"),
        ("test_at_end = true", "data.test_at_end = True is not possible: allowed is false without data.validation"),
    ],
)
def test_bad_settings(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        config_of(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("validation = 5", "holds out 5 of 400 training images: each of the 10 classes needs one .* so 10 to 390"),
        ("validation = 395", "so 10 to 390 are possible"),
        (
            "validation = 0.95",
            "batch_size = 32 is more than the 20 training images of digits that data.validation = 0.95 leaves",
        ),
        ("validation = 0.2, train_limit = 11", "class 0 has one training image|class . has one training image"),
    ],
)
def test_images_that_cannot_be_held_out(tmp_path, monkeypatch, capsys, text, message):
    body = FLOAT.replace(
        "train_limit = 400, VALIDATION", text if "train_limit" in text else f"train_limit = 400, {text}"
    )
    path = write(tmp_path, body)
    with pytest.raises(UserError, match=message):
        make_batches(load_config(path), load("digits"))
    assert call(monkeypatch, "run", "-c", path, "--out", tmp_path / "out") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """A float run with held-out images, and the same one measured on the test images too."""
    folder = tmp_path_factory.mktemp("held")
    path = write(folder, FLOAT.replace("VALIDATION", "validation = 0.25"))
    for name, end in (("never", "false"), ("end", "true")):
        imctrain.train(imctrain.load_config(path, [f"data.test_at_end={end}"]), out=folder / name, quiet=True)
    return folder


def test_a_run_is_judged_by_held_out_images(held, monkeypatch, capsys):
    result = Result.read(held / "never" / "result.json")
    assert (result.test_accuracy, result.best_test_accuracy, result.test_images) == (None, None, None)
    assert result.validation_images == 100
    assert result.accuracy == result.validation_accuracy
    epochs = [line for line in metrics(held / "never") if line["kind"] == "epoch"]
    assert [line["validation_accuracy"] for line in epochs][-1] == result.validation_accuracy
    assert result.best_validation_accuracy == max(line["validation_accuracy"] for line in epochs)
    assert not any("test_accuracy" in line for line in epochs)
    assert result.steps == 2 * (300 // 32)
    frame = imctrain.load_results(held)
    assert frame["validation_accuracy"].null_count() == 0
    assert frame["test_accuracy"].null_count() == 1
    assert call(monkeypatch, "report", held, "--out", held / "page.html") == 0
    assert f"{100 * result.validation_accuracy:.2f} %" in (held / "page.html").read_text()


def test_the_test_images_are_measured_once_where_asked_for(held):
    never, end = (Result.read(held / name / "result.json") for name in ("never", "end"))
    assert end.validation_accuracy == never.validation_accuracy
    assert metrics(held / "end") == metrics(held / "never")
    assert end.test_images == len(load("digits").test)
    # The network of the last checkpoint, called on all test images at once.
    from imctrain.experiment.setup import set_up
    from imctrain.training.checkpoint import Checkpoints

    data = load("digits")
    setup = set_up(imctrain.load_run(held / "end").config, data)
    checkpoints = Checkpoints(held / "end" / "checkpoints", 2)
    stored = checkpoints.newest()
    assert stored is not None
    trained = stored.fit(setup.steps.initial)
    images = ((data.test.images / 255 - np.asarray(data.mean)) / np.asarray(data.std)).astype(np.float32)
    logits = setup.network.eval_forward(trained.params, trained.rest, images)
    right = float(np.mean(np.argmax(logits, 1) == data.test.labels))
    assert end.test_accuracy == pytest.approx(right, abs=1.5 / len(images))


@pytest.mark.slow
def test_a_run_that_is_stopped_at_its_end_goes_on_with_the_test_images(tmp_path, held, monkeypatch):
    path = write(tmp_path, FLOAT.replace("VALIDATION", "validation = 0.25, test_at_end = true"))
    # 9 steps and a batch of held-out images an epoch; then the test images.
    stopped = spawn_killed(2 * (9 + 1) + 2, "SIGTERM", "run", "-c", path, "--out", tmp_path / "out")
    assert stopped.returncode == 143, stopped.stderr
    assert not (tmp_path / "out" / "result.json").exists()
    assert call(monkeypatch, "run", "--resume", tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "result.json").read_text())["test_accuracy"] == (
        Result.read(held / "end" / "result.json").test_accuracy
    )


@pytest.mark.slow
def test_what_is_held_out_cannot_change_within_a_run(held, tmp_path, monkeypatch, capsys):
    import shutil

    shutil.copytree(held / "never", tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    config = tmp_path / "run" / "config.toml"
    text = config.read_text()
    assert tomllib.loads(text)["data"]["validation"] == 0.25
    config.write_text(text.replace("validation = 0.25", "validation = 0.5"))
    assert call(monkeypatch, "run", "--resume", tmp_path / "run", "--accept-changes", "data.validation") == 2
    assert "data.validation cannot change within one" in capsys.readouterr().err
    # Whether the test images are measured at the end may.
    config.write_text(text.replace("test_at_end = false", "test_at_end = true"))
    assert call(monkeypatch, "run", "--resume", tmp_path / "run") == 0
    found = Result.read(tmp_path / "run" / "result.json")
    assert found.test_accuracy == Result.read(held / "end" / "result.json").test_accuracy

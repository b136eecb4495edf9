"""Batches: pure in (seed, epoch, step), complete in evaluation, and augmented the way they say."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imctrain.data import Augment, Batches, Split
from imctrain.errors import UserError

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.5)
CROP_AND_FLIP = Augment(flip=True, crop_padding=2)


def numbered(count: int, size: int = 6) -> Split:
    """Noise images; label i is image i."""
    rng = np.random.default_rng(7)
    images = rng.integers(1, 256, (count, size, size + 1, 3), dtype=np.uint8)
    return Split(images, np.arange(count, dtype=np.int32))


def make(split: Split, batch_size: int, **options) -> Batches:
    return Batches(split, batch_size, mean=MEAN, std=STD, **options)


def pixels(images: np.ndarray) -> np.ndarray:
    """Normalised float images back to 0..255."""
    return np.rint((images * np.array(STD) + np.array(MEAN)) * 255).astype(np.uint8)


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_normalisation_is_per_channel():
    split = numbered(4)
    batch = make(split, 4, shuffle=False).batch(0, 0)
    expected = (split.images / 255 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(batch.images, expected, atol=2e-6)
    assert (batch.images.dtype, batch.labels.dtype, batch.mask.dtype) == (np.float32, np.int32, np.float32)
    np.testing.assert_array_equal(pixels(batch.images), split.images)


def test_a_batch_is_a_function_of_seed_epoch_and_step():
    split = numbered(20)
    one, two = (make(split, 4, seed=3, augment=CROP_AND_FLIP) for _ in range(2))
    list(one.epoch(0))
    for epoch, step in ((2, 3), (0, 0), (2, 3), (1, 4)):
        assert same(one.batch(epoch, step), two.batch(epoch, step))
    reference = two.batch(1, 2)
    for epoch, step, seed in ((1, 3, 3), (0, 2, 3), (1, 2, 4)):
        other = make(split, 4, seed=seed, augment=CROP_AND_FLIP).batch(epoch, step)
        assert not np.array_equal(other.images, reference.images)


def test_an_epoch_resumes_at_any_step_to_the_same_bits():
    split = numbered(22)
    whole = list(make(split, 4, seed=1, augment=CROP_AND_FLIP).epoch(5))
    assert len(whole) == make(split, 4).steps_per_epoch == 5
    for start in range(6):
        resumed = list(make(split, 4, seed=1, augment=CROP_AND_FLIP).epoch(5, start))
        assert len(resumed) == 5 - start
        assert all(same(a, b) for a, b in zip(whole[start:], resumed, strict=True))


def test_an_epoch_shows_each_image_at_most_once_in_a_new_order():
    split = numbered(22)
    batches = make(split, 4)
    orders = [np.concatenate([batch.labels for batch in batches.epoch(epoch)]) for epoch in range(3)]
    for order in orders:
        assert len(set(order.tolist())) == len(order) == 20
    assert not np.array_equal(orders[0], orders[1])
    for batch in batches.epoch(0):
        np.testing.assert_array_equal(pixels(batch.images), split.images[batch.labels])
        assert batch.mask.all()
    padded = make(split, 4, drop_last=False)
    seen = [label for batch in padded.epoch(0) for label in batch.labels[batch.mask > 0]]
    assert sorted(seen) == list(range(22))


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 40), batch_size=st.integers(1, 17))
def test_evaluation_shows_each_image_exactly_once(count, batch_size):
    split = numbered(count, size=2)
    batches = Batches.evaluation(split, batch_size, mean=MEAN, std=STD)
    found = list(batches.epoch(0))
    assert len(found) == batches.steps_per_epoch
    assert {batch.images.shape for batch in found} == {(batch_size, 2, 3, 3)}
    mask = np.concatenate([batch.mask for batch in found])
    np.testing.assert_array_equal(np.unique(mask), np.unique([0.0] * (len(mask) > count) + [1.0]))
    labels = np.concatenate([batch.labels for batch in found])
    np.testing.assert_array_equal(labels[mask > 0], np.arange(count))
    images = np.concatenate([batch.images for batch in found])
    np.testing.assert_array_equal(pixels(images[mask > 0]), split.images)
    assert not images[mask == 0].any()


@pytest.mark.parametrize(("flip", "pad"), [(True, 0), (False, 2), (True, 3)])
def test_every_augmented_image_is_one_of_those_allowed(flip, pad):
    split = numbered(300, size=5)
    augmented = Augment(flip, pad).apply(split.images, np.random.default_rng(0))
    assert augmented.shape == split.images.shape
    drawn = set()
    for before, after in zip(split.images, augmented, strict=True):
        allowed = {}
        for mirrored in (False, True) if flip else (False,):
            source = before[:, ::-1] if mirrored else before
            framed = np.pad(source, ((pad, pad), (pad, pad), (0, 0)))
            for top in range(2 * pad + 1):
                for left in range(2 * pad + 1):
                    allowed[framed[top : top + 5, left : left + 6].tobytes()] = (mirrored, top, left)
        drawn.add(allowed[after.tobytes()])
    # With 300 images every flip is drawn, and nearly every place of the crop.
    places = (2 * pad + 1) ** 2
    assert {mirrored for mirrored, *_ in drawn} == ({False, True} if flip else {False})
    assert len({place for _, *place_ in drawn for place in [tuple(place_)]}) == places


def test_augmentation_leaves_the_data_set_alone():
    split = numbered(8)
    before = split.images.copy()
    make(split, 8, augment=CROP_AND_FLIP).batch(0, 0)
    np.testing.assert_array_equal(split.images, before)
    np.testing.assert_array_equal(Augment().apply(split.images, np.random.default_rng(0)), before)


def test_leaving_an_epoch_early_ends_its_thread():
    before = threading.active_count()
    iterator = make(numbered(40), 2).epoch(0)
    next(iterator)
    iterator.close()
    assert threading.active_count() == before


def test_a_fault_in_the_thread_reaches_the_loop(monkeypatch):
    batches = make(numbered(8), 2)

    def broken(epoch, step):
        raise OSError("the disk is gone")

    monkeypatch.setattr(batches, "batch", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        list(batches.epoch(0))


def test_impossible_batches_are_refused():
    split = numbered(8)
    with pytest.raises(UserError, match="batch size 9 is larger than the 8 images"):
        make(split, 9)
    with pytest.raises(UserError, match="batch size 0"):
        make(split, 0)
    with pytest.raises(UserError, match="crop_padding = -1"):
        Augment(crop_padding=-1)
    with pytest.raises(IndexError):
        make(split, 4).batch(0, 2)
    assert make(split, 9, drop_last=False).steps_per_epoch == 1


def test_a_reflected_border_mirrors_the_image():
    images = np.random.default_rng(3).integers(0, 256, (64, 8, 7, 3), dtype=np.uint8)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    out = Augment(crop_padding=2, border="reflect").apply(images, np.random.default_rng(4))
    for image, source in zip(out, padded, strict=True):
        crops = [source[top : top + 8, left : left + 7] for top in range(5) for left in range(5)]
        assert any(np.array_equal(image, crop) for crop in crops)
    with pytest.raises(UserError, match="needs images larger than 7 pixels"):
        Augment(crop_padding=7, border="reflect").apply(images, np.random.default_rng(4))


def test_cutout_fills_one_square_with_the_mean_colour():
    images = np.random.default_rng(0).integers(0, 256, (200, 9, 7, 3), dtype=np.uint8)
    before = images.copy()
    out = Augment(cutout=4).apply(images, np.random.default_rng(1))
    np.testing.assert_array_equal(images, before)
    colours = np.round(images.mean(axis=(1, 2)))
    places = set()
    for image, cut, colour in zip(images, out, colours, strict=True):
        filled = np.all(np.abs(cut - colour) <= 1, axis=-1) & np.any(cut != image, axis=-1)
        (rows, columns) = np.nonzero(np.any(cut != image, axis=-1))
        top, left = rows.min(), columns.min()
        assert (rows.max() - top, columns.max() - left) == (3, 3)
        assert filled[top : top + 4, left : left + 4].sum() >= 14  # a pixel may have had the mean colour before
        outside = np.ones((9, 7), bool)
        outside[top : top + 4, left : left + 4] = False
        np.testing.assert_array_equal(cut[outside], image[outside])
        places.add((top, left))
    assert places == {(top, left) for top in range(6) for left in range(4)}


def test_cutout_must_fit():
    with pytest.raises(UserError, match="cutout = -1"):
        Augment(cutout=-1)
    with pytest.raises(UserError, match="cutout = 7 needs images larger than 7"):
        Augment(cutout=7).apply(np.zeros((2, 9, 7, 3), np.uint8), np.random.default_rng(0))

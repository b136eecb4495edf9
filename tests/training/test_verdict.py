"""What is said at the end of a training, from its metrics."""

from __future__ import annotations

import math

import pytest

from imctrain.training.verdict import verdict

GUESS = math.log(10)


def said(losses, accuracies, *, lines=(2.4,), chance=0.1, images=10_000):
    """Lines without their remedy, for epochs with these losses and test accuracies (None where not evaluated)."""
    records = [{"kind": "train", "step": i, "epoch": 1, "loss": loss} for i, loss in enumerate(lines)]
    for number, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), 1):
        evaluated = {} if accuracy is None else {"test_accuracy": accuracy}
        records.append({"kind": "epoch", "step": number, "epoch": number, "loss": loss, **evaluated})
    found = verdict(records, classes=10, chance=chance, test_images=images, remedy="do this")
    assert all(line.endswith(": do this") for line in found)
    return [line.removesuffix(": do this") for line in found]


@pytest.mark.parametrize(
    ("losses", "accuracies"),
    [
        ([1.9, 1.2, 0.8], [0.4, 0.6, 0.7]),
        # The noise of a training that has settled.
        ([1.0, 0.50, 0.55, 0.58], [0.6, 0.81, 0.80, 0.79]),
        # Small losses may double and stay small.
        ([1.0, 0.02, 0.04], [0.9, 0.99, 0.99]),
        # A start above guessing that falls.
        ([3.4, 2.9, 2.7], [0.2, 0.3, 0.35]),
        ([2.0, 1.5, 1.2], [None, None, 0.5]),
    ],
)
def test_a_training_that_went_well_is_not_spoken_of(losses, accuracies):
    assert said(losses, accuracies, lines=(losses[0] + 0.5, 2.0)) == []


def test_a_loss_that_rises_above_guessing():
    assert said([2.1, 90.0, 1082.0], [0.5, 0.45, 0.43]) == [
        "training loss rose from 2.4 to 1.08e+03, above that of guessing (2.3)"
    ]
    # A single epoch is judged by its last line: its mean is mostly its own start.
    assert said([9.0], [0.3], lines=(2.4, 30.0)) == ["training loss rose from 2.4 to 30, above that of guessing (2.3)"]
    assert said([9.0], [0.3], lines=(9.5, 2.0)) == []


def test_a_loss_that_rises_from_its_lowest():
    assert said([1.5, 0.4, 0.7, 1.3], [0.5, 0.8, 0.79, 0.78]) == [
        "training loss rose from 0.4 in epoch 2 to 1.3 at the end"
    ]


def test_a_loss_that_is_not_finite_is_as_bad_as_can_be():
    assert said([2.1, None], [0.5, 0.5])[0].startswith("training loss rose from 2.4 to inf")


def test_an_accuracy_that_fell_far_below_its_best():
    assert said([2.0, 1.5, 1.4], [0.4, 0.742, 0.33]) == [
        "test accuracy ended at 33.0%, 41.2 points below its best (74.2% in epoch 2)"
    ]
    # Ten points are nothing that a test of 40 images can tell.
    assert said([2.0, 1.5, 1.4], [0.4, 0.7, 0.55], images=40) == []
    assert len(said([2.0, 1.5, 1.4], [0.4, 0.7, 0.55])) == 1


def test_an_accuracy_that_never_left_chance():
    assert said([2.3, 2.3], [0.098, 0.104]) == [
        "test accuracy never left chance: its best is 10.4%, a constant answer has 10.0%"
    ]
    # 4 standard deviations of 10,000 images are 1.2 points.
    assert said([2.3, 2.3], [0.098, 0.115]) == []
    # Where one class is most of the test, guessing it is no success.
    assert len(said([0.5, 0.4], [0.8, 0.81], chance=0.81)) == 1


def test_no_metrics_say_nothing():
    assert verdict([], classes=10, chance=0.1, test_images=100, remedy="") == []

"""Training images held out for validation: every choice is made by them, and the test images stay unseen."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from imctrain.data.dataset import Dataset, Labels, Split
from imctrain.errors import UserError

SEED = 20240229
"""Of the choice. It never changes: the same images are held out whatever the seed of a training is."""
GIVEN: Literal["given"] = "given"
"""In place of a share: the images that the data set itself keeps for validation."""


class Parts(NamedTuple):
    """A data set as one training uses it.

    Attributes:
        train: what is trained on. evaluation: what epochs are judged by. test: the test images.
    """

    train: Split
    evaluation: Split
    test: Split


def parts_of(
    dataset: Dataset,
    *,
    train_limit: int | None = None,
    test_limit: int | None = None,
    validation: float | Literal["given"] | None = None,
) -> Parts:
    """The images of a training.

    Args:
        train_limit, test_limit: the first so many images of a split; None for all.
        validation: of the training images that the limit leaves, a share (below 1) or a number (1 and more) is held
            out, and epochs are judged by those. "given": by the images that the data set itself keeps for that. None:
            by the test images, and nothing is held out.

    Raises UserError for a number of images that cannot be held out, and where none are given.
    """
    train, test = limit(dataset.train, train_limit), limit(dataset.test, test_limit)
    if validation is None:
        return Parts(train, test, test)
    if validation == GIVEN:
        if dataset.validation is None:
            raise UserError(
                f"data.validation = 'given' is not possible: {dataset.name} has no validation images; give a share of "
                "the training images, such as 0.2"
            )
        return Parts(train, dataset.validation, test)
    held = held_out(train.labels, validation, f"{dataset.name}, data.validation = {validation:g}")
    rest = np.delete(np.arange(len(train)), held)
    return Parts(_rows(train, rest), _rows(train, held), test)


def limit(split: Split, count: int | None) -> Split:
    """The first `count` images of a split, or all."""
    return split if count is None else Split(split.images[:count], split.labels[:count])


def in_words(validation: float | Literal["given"]) -> str:
    """A setting of `data.validation` as it is written."""
    return validation if validation == GIVEN else f"{validation:g}"


def held_images(total: int, validation: float | Literal["given"]) -> int:
    """How many of `total` training images are held out: a share below 1, or a number; none where others are given."""
    if validation == GIVEN:
        return 0
    return round(validation * total) if validation < 1 else int(validation)


def held_out(
    labels: Labels, validation: float, where: str = "validation", seed: tuple[int, ...] = (SEED,)
) -> npt.NDArray[np.intp]:
    """Rows that are held out, in order: of each class its share, as exactly as whole images allow.

    Args:
        labels: int [n] of the training images.
        validation: a share of them, or how many. where: what an error names. seed: of the choice.

    Raises UserError where a class would have no image on one of the two sides.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    total = len(labels)
    count = held_images(total, validation)
    single = classes[sizes < 2]
    if len(single):
        raise UserError(
            f"{where}: class {single[0]} has one training image, which cannot be both trained on and held out: give "
            "more training images (data.train_limit), or leave data.validation out"
        )
    if not len(classes) <= count <= total - len(classes):
        raise UserError(
            f"{where} holds out {count} of {total} training images: each of the {len(classes)} classes needs one on "
            f"either side, so {len(classes)} to {total - len(classes)} are possible"
        )
    quota = count * sizes / total
    held = np.clip(quota.astype(int), 1, sizes - 1)
    while (missing := count - held.sum()) != 0:
        # One image at a time, for the class that is farthest from its share.
        possible = held < sizes - 1 if missing > 0 else held > 1
        distance = np.where(possible, (quota - held) * np.sign(missing), -np.inf)
        held[np.argmax(distance)] += np.sign(missing)
    chosen = [
        np.random.default_rng((*seed, int(label))).permutation(np.flatnonzero(labels == label))[:images]
        for label, images in zip(classes, held, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def _rows(split: Split, rows: npt.NDArray[np.intp]) -> Split:
    return Split(split.images[rows], split.labels[rows])

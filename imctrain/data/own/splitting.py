"""The splits that a data set of the user's own gets, and its classes."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from imctrain.data.dataset import Labels
from imctrain.data.holdout import held_out
from imctrain.data.reading.names import shown
from imctrain.data.request import Request, Tell
from imctrain.errors import UserError

_ORDER = ("all", "train", "validation", "test")
FEW = 10
"""Training images of a class: fewer are told."""


def check_class_names(where: str, names: Sequence[str]) -> None:
    """Class names stand in a file, one a line, and in figures.

    Raises:
        UserError: an empty name, blanks at an end, control characters, what is no text, or two names that look alike.
    """
    seen: dict[str, str] = {}
    for name in names:
        if not name.strip():
            raise UserError(f"{where} has a class without a name: give it one")
        if name != name.strip():
            raise UserError(f"{where} has the class {name!r}, with blanks at an end: rename it")
        if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name):
            raise UserError(
                f"{where} has the class {shown(name)!r}, with a line break, a control character or bytes that are no "
                "text in its name: rename it"
            )
        alike = unicodedata.normalize("NFC", name)
        if alike in seen:
            raise UserError(f"{where} has two classes that are both written {shown(name)}: rename one")
        seen[alike] = name


def number_of_classes(where: str, names: Sequence[str]) -> None:
    """Raises UserError for fewer than two classes."""
    if len(names) < 2:
        found = f"one class ({shown(names[0])})" if names else "no class"
        raise UserError(f"{where} has {found}: a network that classifies needs two or more")


def in_order(names: set[str]) -> tuple[str, ...]:
    """Class names as labels count them: by number where all are whole numbers, else by name."""
    if all(name.isascii() and name.isdigit() and len(name) < 18 for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def choose_splits(
    where: str, labels: Mapping[str, Labels], classes: Sequence[str], request: Request, layout: str
) -> dict[str, tuple[str, npt.NDArray[np.intp]]]:
    """Which rows of which part of the source each split gets.

    Args:
        where: what errors name.
        labels: of each part: "train", "validation", "test", or "all" for a source without splits.
        classes: names of the labels. request: its `test_fraction` and `seed`; told what was chosen.
        layout: how a split is written, for errors.

    Returns:
        (part, rows) of each split: "train", "test" (or "validation" in its place), and "validation" where there is one.

    Raises:
        UserError: no test images and none asked for, or both.
    """
    options, tell = request.options, request.tell
    rows = {part: np.arange(len(found)) for part, found in labels.items()}
    chosen = {("train" if part == "all" else part): (part, rows[part]) for part in _ORDER if part in rows}
    if "train" not in chosen:
        raise UserError(
            f"{where} has no {layout.format('train')}, only {' and '.join(chosen)}: nothing is there to train on"
        )
    part = "all" if "all" in labels else "train"
    if options.test_fraction is None:
        if len(chosen) > 1:
            if "test" not in chosen:
                tell("there are no test images: the validation images are used in their place")
            elif "validation" in chosen:
                tell(
                    f'{len(rows["validation"])} validation images are kept: `data.validation = "given"` judges epochs '
                    "by them; without it they are not used"
                )
            return chosen
        raise UserError(
            f"{where} has no {layout.format('test')}: add --test-fraction 0.2 to make every fifth image of a class a "
            f"test image, or give {layout.format('train')} and {layout.format('test')}"
        )
    if "test" in chosen:
        raise UserError(f"{where} has test images: leave out --test-fraction")
    single = [classes[label] for label, count in Counter(labels[part].tolist()).items() if count < 2]
    if single:
        raise UserError(
            f"{where} has one image of class {shown(single[0])}: --test-fraction needs two of each class or more"
        )
    test = held_out(labels[part], options.test_fraction, f"{where}, --test-fraction", seed=(options.seed, 1))
    train = np.delete(rows[part], test)
    chosen["train"], chosen["test"] = (part, train), (part, test)
    tell(f"{len(test)} of {len(rows[part])} images became test images, by class, with --seed {options.seed}")
    return chosen


def tell_counts(labels: Mapping[str, Labels], classes: Sequence[str], tell: Tell) -> None:
    """Classes with few training images, and classes that a split does not have."""
    train = np.bincount(labels["train"], minlength=len(classes))
    few = [f"{shown(name)} {count}" for name, count in zip(classes, train, strict=True) if 0 < count < FEW]
    if few:
        tell(f"few training images: {_some(few)}")
    for split, found in labels.items():
        counts = np.bincount(found, minlength=len(classes))
        missing = [shown(name) for name, count in zip(classes, counts, strict=True) if not count]
        if missing:
            tell(f"no {split} images of {_some(missing)}")


def _some(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

"""What a data set must contain, checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imctrain.data.dataset import RawImages
from imctrain.errors import UserError


@dataclass(frozen=True)
class Expected:
    """The known facts of a published data set.

    Attributes:
        shape: (height, width, channels) of each image.
        classes: class names in label order.
        per_class: images of each class in each split.
    """

    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    per_class: dict[str, int]


def verify(raw: RawImages, expected: Expected | None, where: str) -> None:
    """Checks labels and, where `expected` says what is right, class names, sizes and counts.

    Raises:
        UserError: with the first thing that is wrong.
    """
    if expected is not None and raw.classes != expected.classes:
        missing = sorted(set(expected.classes) - set(raw.classes))
        surplus = sorted(set(raw.classes) - set(expected.classes))
        if missing or surplus:
            found = "; ".join(
                f"{what} {', '.join(names)}" for what, names in (("missing", missing), ("unknown", surplus)) if names
            )
        else:
            found = "in another order: " + ", ".join(raw.classes)
        raise UserError(f"{where} has the wrong classes ({found}): expected {', '.join(expected.classes)}")
    for name, split in raw.splits.items():
        if not len(split):
            raise UserError(f"{where} has no images in its {name} split")
        if split.labels.min() < 0 or split.labels.max() >= len(raw.classes):
            wrong = split.labels[(split.labels < 0) | (split.labels >= len(raw.classes))][0]
            raise UserError(f"{where} has label {wrong} in its {name} split: allowed is 0 to {len(raw.classes) - 1}")
        if expected is None:
            continue
        if split.images.shape[1:] != expected.shape:
            found, wanted = ("x".join(map(str, shape)) for shape in (split.images.shape[1:], expected.shape))
            raise UserError(f"{where} has {name} images of {found}: expected {wanted}")
        counts = np.bincount(split.labels, minlength=len(raw.classes))
        for label, count in enumerate(counts):
            if count != expected.per_class[name]:
                raise UserError(
                    f"{where} has {count} {name} images of class {raw.classes[label]}: "
                    f"expected {expected.per_class[name]} of each of {len(raw.classes)} classes"
                )

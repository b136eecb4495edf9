"""What a data set must contain, checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from imctrain.data.dataset import RawImages
from imctrain.data.reading.names import shown
from imctrain.errors import UserError


@dataclass(frozen=True)
class Expected:
    """The known facts of a published data set.

    Attributes:
        shape: (height, width, channels) of each image.
        classes: class names in label order.
        per_class: of each split: images of every class, or of each one; None where they are not known.
        totals: images of each split, where those of the classes are not known.
        named: other names of as many classes are refused. Else they are told, and results say so.
        enforced: other counts are refused. Else they are told, and results say so.
    """

    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    per_class: Mapping[str, int | tuple[int, ...]] | None
    enforced: bool = False
    totals: Mapping[str, int] | None = None
    named: bool = True

    def of_class(self, split: str, label: int) -> int:
        """Images that a class has in a split."""
        assert self.per_class is not None
        counts = self.per_class[split]
        return counts if isinstance(counts, int) else counts[label]

    def images(self, split: str) -> int | None:
        """Images of a split; None where that is not known."""
        if self.per_class is not None:
            return sum(self.of_class(split, label) for label in range(len(self.classes)))
        return None if self.totals is None else self.totals[split]


def verify(raw: RawImages, expected: Expected | None, where: str) -> str:
    """Checks labels and, where `expected` says what is right, class names, sizes and counts.

    Returns:
        In what it differs from what was published, where that is allowed; empty where it does not.

    Raises:
        UserError: with the first thing that is wrong.
    """
    where = shown(where)
    other_names = expected is not None and raw.classes != expected.classes
    if expected is not None and other_names and (expected.named or len(raw.classes) != len(expected.classes)):
        missing = sorted(set(expected.classes) - set(raw.classes))
        surplus = sorted(set(raw.classes) - set(expected.classes))
        if missing or surplus:
            found = "; ".join(
                f"{what} {_some(names)}" for what, names in (("missing", missing), ("unknown", surplus)) if names
            )
        else:
            found = "in another order: " + _some(raw.classes)
        raise UserError(f"{where} has the wrong classes ({found}): expected {_some(expected.classes)}")
    for name, split in raw.splits.items():
        if not len(split):
            raise UserError(f"{where} has no images in its {name} split")
        if split.labels.min() < 0 or split.labels.max() >= len(raw.classes):
            wrong = split.labels[(split.labels < 0) | (split.labels >= len(raw.classes))][0]
            raise UserError(f"{where} has label {wrong} in its {name} split: allowed is 0 to {len(raw.classes) - 1}")
        if expected is not None and split.images.shape[1:] != expected.shape:
            found, wanted = ("x".join(map(str, shape)) for shape in (split.images.shape[1:], expected.shape))
            raise UserError(f"{where} has {name} images of {found}: expected {wanted}")
    if expected is None:
        return ""
    remarks = [raw.source.remark, "other class names" if other_names else "", _counted(raw, expected, where)]
    return "; ".join(filter(None, remarks))


def _counted(raw: RawImages, expected: Expected, where: str) -> str:
    """Compares the images of each class."""
    known = expected.per_class or expected.totals
    if known is None:
        return ""
    differs = []
    for name, split in raw.splits.items():
        if name not in known:
            differs.append(f"{len(split)} {name} images, of which the published set has none")
            continue
        if expected.per_class is None:
            if expected.totals is not None and expected.totals[name] != len(split):
                differs.append(f"{len(split)} of {expected.totals[name]} {name} images")
            continue
        counts = np.bincount(split.labels, minlength=len(raw.classes))
        wanted = [expected.of_class(name, label) for label in range(len(raw.classes))]
        wrong = next((label for label, count in enumerate(counts) if count != wanted[label]), None)
        if wrong is None:
            continue
        if expected.enforced:
            raise UserError(
                f"{where} has {counts[wrong]} {name} images of class {shown(raw.classes[wrong])}: "
                f"expected {wanted[wrong]} of each of {len(raw.classes)} classes"
            )
        differs.append(f"{len(split)} of {sum(wanted)} {name} images")
    return "; ".join(differs)


def compare(remark: str, title: str, tell: Callable[[str], None]) -> None:
    """Tells in what a data set differs from the published one."""
    if remark:
        tell(f"not {title} as it was published: {remark}; do not compare results with published ones")


def _some(names: tuple[str, ...] | list[str], most: int = 12) -> str:
    listed = ", ".join(shown(name) for name in names[:most])
    return listed + (f" and {len(names) - most} more" if len(names) > most else "")

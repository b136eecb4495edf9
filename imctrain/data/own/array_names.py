"""What the arrays of a file are: images or labels, and of which split, by the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from imctrain.data.own.array_files import ArrayFile
from imctrain.data.own.layout import split_of
from imctrain.data.reading.names import shown
from imctrain.errors import UserError

Role = Literal["images", "labels", "classes"]

_ROLES: dict[str, Role] = {
    **dict.fromkeys(
        ("x", "image", "images", "img", "imgs", "data", "pixel", "pixels", "feature", "features"), "images"
    ),
    **dict.fromkeys(("y", "label", "labels", "target", "targets", "lbl", "lbls"), "labels"),
    **dict.fromkeys(("classes", "names"), "classes"),
}
_WORDS = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]+")
_GLUED = re.compile(r"(x|y)(train|val|valid|validation|test|dev)|(train|val|valid|validation|test|dev)(x|y)")
_ASKED = "name them x_train, y_train, x_test, y_test, or images and labels"


@dataclass(frozen=True)
class Pair:
    """The images and the labels of one part of the source."""

    images: ArrayFile
    labels: ArrayFile


@dataclass(frozen=True)
class Named:
    """Arrays with their meaning.

    Attributes:
        parts: by split; "all" where names say none.
        classes: names of the classes, where there is such an array. others: names of arrays that are not used.
    """

    parts: dict[str, Pair]
    classes: ArrayFile | None
    others: tuple[str, ...]


def meaning_of(name: str) -> tuple[str | None, Role | None]:
    """(split, role) of a name such as `x_train`, `trainLabels`, `X`, `kmnist-test-imgs`; None for what is not said."""
    words = []
    for word in _WORDS.findall(name):
        glued = _GLUED.fullmatch(word.lower())
        words += [part for part in glued.groups() if part] if glued else [word.lower()]
    splits = {split for word in words if (split := split_of(word)) is not None}
    roles = {_ROLES[word] for word in words if word in _ROLES}
    if "classes" in roles or ("class" in words and "names" in words):
        roles = {"classes"}
    return (splits.pop() if len(splits) == 1 else None), (roles.pop() if len(roles) == 1 else None)


def named(where: str, arrays: Sequence[ArrayFile]) -> Named:
    """Finds the images and labels of each split.

    Raises:
        UserError: two arrays with one meaning, or one without its counterpart.
    """
    found: dict[tuple[str, Role], ArrayFile] = {}
    classes, others = None, []
    for array in arrays:
        split, role = meaning_of(array.name)
        if role is None:
            others.append(array.name)
            continue
        if role == "classes":
            classes = array
            continue
        key = (split or "all", role)
        if key in found:
            raise UserError(
                f"{where} has {shown(found[key].name)} and {shown(array.name)}, which could both be the {role}"
                f"{'' if split is None else ' of ' + split}: {_ASKED}"
            )
        found[key] = array
    if not found and len(arrays) == 2:
        pair = _by_shape(arrays)
        if pair is not None:
            return Named({"all": pair}, None, ())
    listed = ", ".join(f"{shown(array.name)} {array.shape}" for array in arrays[:8])
    parts = {}
    for split in dict.fromkeys(split for split, _ in found):
        images, labels = found.get((split, "images")), found.get((split, "labels"))
        if images is None or labels is None:
            missing = "images" if images is None else "labels"
            of = "" if split == "all" else f" of {split}"
            raise UserError(f"{where} has no {missing}{of} among its arrays ({listed}): {_ASKED}")
        parts[split] = Pair(images, labels)
    if not parts or ("all" in parts and len(parts) > 1):
        raise UserError(f"{where} has arrays whose names do not say what they are ({listed}): {_ASKED}")
    return Named(parts, classes, tuple(others))


def _by_shape(arrays: Sequence[ArrayFile]) -> Pair | None:
    """Two arrays of as many rows, of which one has images' dimensions and the other one number a row."""
    images = [array for array in arrays if len(array.shape) in (3, 4)]
    labels = [array for array in arrays if len(array.shape) == 1]
    if len(images) == len(labels) == 1 and images[0].shape[0] == labels[0].shape[0]:
        return Pair(images[0], labels[0])
    return None

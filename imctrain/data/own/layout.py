"""Where the images of a source belong: to which split and class, by the folders that they lie in.

Split folders are known by their usual names in any case, `SPLIT_NAMES`. A folder of that name is a split where it
holds class folders, and a class like any other where it holds images. Below a split, and in a source without splits,
the first folder is the class; folders that hold nothing but one folder are passed over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from imctrain.data.own.survey import ImageFile, Survey
from imctrain.data.reading.names import shown
from imctrain.data.request import Tell
from imctrain.errors import UserError

SPLIT_NAMES = {
    "train": ("train", "training", "trn"),
    "validation": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing", "tst"),
}
LAYOUT = "train/CLASS/IMAGE and test/CLASS/IMAGE"
_SPLIT_OF = {name: split for split, names in SPLIT_NAMES.items() for name in names}


@dataclass(frozen=True, slots=True)
class Item:
    """An image in its place: its class, its name below the class, and its file."""

    label: str
    name: str
    image: ImageFile


@dataclass
class Layout:
    """A source's images by split.

    Attributes:
        splits: "train", "validation", "test" and their images; all of them under "all" where there are no splits.
        called: name of each split's folder. empty: class folders without an image, by split.
        kind: how it was found, see `Source`.
    """

    splits: dict[str, list[Item]]
    called: dict[str, str]
    empty: dict[str, set[str]] = field(default_factory=dict)
    kind: str = "image-tree"


def split_of(name: str) -> str | None:
    """The split that a folder or file of this name is; None for another name."""
    return _SPLIT_OF.get(name.casefold())


def layout_of(path: Path, found: Survey, tell: Tell) -> Layout | None:
    """Splits and classes by folder; None where images lie in no class folder.

    Raises:
        UserError: more than one tree, or two folders for one split.
    """
    images = {image: tuple(image.split("/")) for image in found.images}
    folders = [tuple(folder.split("/")) for folder in found.folders]
    roots = _roots(images.values())
    if len(roots) > 1:
        raise UserError(f"{shown(path)} holds more than one tree of {LAYOUT}: give the path of one of them")
    if not roots:
        return _unsplit(found, images, folders, tell)
    ((root, split_folders),) = roots.items()
    layout = Layout({}, {})
    outside = set(images)
    for split, names in split_folders.items():
        if len(names) > 1:
            both = " and ".join(map(shown, sorted(names)))
            raise UserError(f"{shown(path)} has the folders {both} for one split: put them together")
        (name,) = names
        place = (*root, name)
        layout.called[split] = name
        inside = {image: parts for image, parts in images.items() if parts[: len(place)] == place}
        outside -= inside.keys()
        deep = _passed_over([parts for parts in inside.values() if len(parts) > len(place) + 1], len(place))
        layout.splits[split], flat = _classed(found, inside, deep, tell)
        outside |= flat
        layout.empty[split] = _empty(folders, inside.values(), place, deep)
    _tell_outside(outside, "the class folders of its splits", found, tell)
    return layout


def _roots(images: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], dict[str, set[str]]]:
    """Folders that hold split folders, with the names of these."""
    roots: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for parts in images:
        for index, part in enumerate(parts[:-2]):
            split = split_of(part)
            if split is not None:
                roots.setdefault(parts[:index], defaultdict(set))[split].add(part)
                break
    return roots


def _passed_over(images: list[tuple[str, ...]], depth: int) -> int:
    """Depth of the class folders, below folders that hold nothing but one folder."""
    while images and min(map(len, images)) > depth + 2 and len({parts[depth] for parts in images}) == 1:
        depth += 1
    return depth


def _classed(found: Survey, images: dict[str, tuple[str, ...]], depth: int, tell: Tell) -> tuple[list[Item], set[str]]:
    """The images with a class folder at a depth, sorted by class and name; and those without."""
    flat = {image for image, parts in images.items() if len(parts) < depth + 2}
    items = [
        Item(parts[depth], "/".join(parts[depth + 1 :]), found.images[image])
        for image, parts in images.items()
        if image not in flat
    ]
    items.sort(key=lambda item: (item.label, item.name))
    nested = [item for item in items if "/" in item.name]
    if nested:
        example = nested[0]
        tell(
            f"{len(nested)} images lie in folders inside of their class ({shown(example.label)}/{shown(example.name)} "
            f"is of class {shown(example.label)})"
        )
    return items, flat


def _empty(
    folders: list[tuple[str, ...]], images: Iterable[tuple[str, ...]], place: tuple[str, ...], depth: int
) -> set[str]:
    """Class folders below `place` that no image lies in."""
    full = {parts[: depth + 1] for parts in images if len(parts) > depth + 1}
    above = {parts[:depth] for parts in full} or {place}
    return {parts[depth] for parts in folders if len(parts) == depth + 1 and parts[:depth] in above} - {
        parts[depth] for parts in full
    }


def _unsplit(
    found: Survey, images: dict[str, tuple[str, ...]], folders: list[tuple[str, ...]], tell: Tell
) -> Layout | None:
    depth = _passed_over([parts for parts in images.values() if len(parts) > 1], 0)
    if not any(len(parts) >= depth + 2 for parts in images.values()):
        return None
    items, flat = _classed(found, images, depth, tell)
    _tell_outside(flat, "any class folder", found, tell)
    return Layout({"all": items}, {}, {"all": _empty(folders, images.values(), (), depth)})


def _tell_outside(outside: set[str], where: str, found: Survey, tell: Tell) -> None:
    if outside:
        tell(f"{len(outside)} images lie outside of {where} and are left out ({shown(min(outside))})")
        for image in outside:
            del found.images[image]

"""Image files of the user's own: class folders with or without splits, or a table of labels beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from imctrain.data.archive import open_files, sha256_of_file
from imctrain.data.dataset import RawImages, Source, StreamedSplit
from imctrain.data.own.label_table import layout_by_table
from imctrain.data.own.layout import LAYOUT, Layout, layout_of
from imctrain.data.own.pixels import BadImage, pixels_of
from imctrain.data.own.splitting import check_class_names, choose_splits, in_order, number_of_classes
from imctrain.data.own.survey import Survey, survey
from imctrain.data.own.uniform import Splits, mode_of, place_of, size_of, tell_copies, tell_rules
from imctrain.data.reading.files import Files
from imctrain.data.reading.names import shown
from imctrain.data.request import PLAIN, Request
from imctrain.data.spool import Spool
from imctrain.errors import UserError


def read_tree(path: Path, request: Request = PLAIN, order: Sequence[str] = ()) -> RawImages:
    """Every image of the source, decoded; classes and images sorted by name.

    Args:
        path: folder, or tar or zip archive. request: how it is read.
        order: classes in label order, taken where they are the source's.

    Raises:
        UserError: a damaged archive, another layout, a class that is not in both splits, a file that is no image, or
            images of different sizes or colours where none are asked for.
    """
    request.progress(f"reading {path.name}", 0, 0)
    files = open_files(path, request.bounds, follow_links=request.options.follow_links)
    found = survey(files, request)
    layout = _layout(path, found, request)
    digest = _listing_digest(layout) if path.is_dir() else sha256_of_file(path)
    bad = _without_bad(path, layout, found, request)
    classes = _classes(path, layout, request, tuple(order))
    where = shown(path)
    index = {name: label for label, name in enumerate(classes)}
    labels = {part: np.array([index[item.label] for item in items], np.int32) for part, items in layout.splits.items()}
    chosen = choose_splits(where, labels, classes, request, "{}/CLASS/IMAGE")
    splits = {split: [layout.splits[part][row] for row in rows] for split, (part, rows) in chosen.items()}
    images = [item.image for items in splits.values() for item in items]
    mode = mode_of(path, splits, request)
    height, width = size_of(path, splits, request)
    tell_rules(images, mode, request)
    tell_copies(splits, request)
    channels = 1 if mode == "grey" else 3
    spools = {
        split: Spool((len(items), height, width, channels), request.scratch, request.bounds, where)
        for split, items in splits.items()
    }
    kept = _decode(files, splits, spools, mode, bad, request)
    if (told := found.left_out.told()) is not None:
        request.tell(told)
    done = {
        split: StreamedSplit(
            _kept(spools[split], kept[split]),
            np.array([index[item.label] for item, keep in zip(items, kept[split], strict=True) if keep], np.int32),
        )
        for split, items in splits.items()
    }
    lossy = any(image.facts is not None and image.facts.lossy for image in images)
    return RawImages(done, classes, Source(layout.kind, path.name, digest, lossy, request.options.how))


def _layout(path: Path, found: Survey, request: Request) -> Layout:
    """By class folders, or by a table of labels."""
    where = shown(path)
    if not found.images:
        raise UserError(f"{where} has no train/CLASS/IMAGE: an image tree holds {LAYOUT}, and no image was found")
    layout = layout_of(path, found, request.tell)
    few_folders = layout is None or ("all" in layout.splits and len({item.label for item in layout.splits["all"]}) < 2)
    if few_folders and found.tables:
        by_table = layout_by_table(path, found, request.tell)
        layout = layout if by_table is None else by_table
        found.tables = {} if by_table is not None else found.tables
    for table in found.tables:
        found.left_out.add_other(table)
    if layout is None:
        raise UserError(
            f"{where} has images without a class ({shown(min(found.images))}): put them into class folders, "
            f"{LAYOUT}, or add a labels.csv with the columns filename and label (and split)"
        )
    return layout


def _listing_digest(layout: Layout) -> str:
    """SHA-256 of the sorted list of (path, SHA-256 of the content)."""
    lines = []
    for part, items in layout.splits.items():
        prefix = "" if part == "all" else f"{part}/"
        lines += [f"{prefix}{item.label}/{item.name}\0{item.image.sha256}\n" for item in items]
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogatepass")).hexdigest()


class _Bad:
    """Images that cannot be read: refused, or counted up to the share that may be left out."""

    def __init__(self, path: Path, total: int, request: Request):
        self._path, self._total, self._request = path, total, request
        self._found: list[str] = []

    def add(self, file: str, why: str) -> None:
        """One bad image."""
        if not self._request.options.skip_bad:
            raise UserError(
                f"{shown(self._path)}: {shown(file)} {why}: replace it, remove it, or add --skip-bad 0.01 to leave out "
                "up to one in a hundred"
            )
        self._found.append(file)
        if len(self._found) > self._request.options.skip_bad * self._total:
            raise UserError(
                f"{shown(self._path)}: {len(self._found)} of {self._total} images cannot be read ({shown(file)} "
                f"{why}), more than --skip-bad {self._request.options.skip_bad:g} leaves out"
            )

    def tell(self) -> None:
        """Which were left out."""
        if self._found:
            named = ", ".join(map(shown, self._found[:3])) + (" ..." if len(self._found) > 3 else "")
            self._request.tell(f"left out: {len(self._found)} of {self._total} images that cannot be read ({named})")


def _without_bad(path: Path, layout: Layout, found: Survey, request: Request) -> _Bad:
    """Takes images with a bad header out of the layout."""
    bad = _Bad(path, sum(map(len, layout.splits.values())), request)
    for part, items in layout.splits.items():
        called = layout.called.get(part)
        for item in items:
            if item.image.facts is None:
                shown_path = item.image.path if called is None else _below(item.image.path, called)
                bad.add(shown_path, item.image.fault)
        layout.splits[part] = [item for item in items if item.image.facts is not None]
    return bad


def _below(path: str, folder: str) -> str:
    """A path from a folder on."""
    parts = path.split("/")
    return "/".join(parts[parts.index(folder) :]) if folder in parts else path


def _classes(path: Path, layout: Layout, request: Request, order: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the classes; every split has the same, and classes without any image are told."""
    where = shown(path)
    named = {part: {item.label for item in items} for part, items in layout.splits.items()}
    named = {part: names for part, names in named.items() if names or part != "validation"}
    for part, names in named.items():
        if not names:
            raise UserError(f"{where} has no {part}/CLASS/IMAGE that can be read: an image tree holds {LAYOUT}")
    everywhere = set().union(*named.values())
    empty = set().union(*layout.empty.values()) - everywhere if layout.empty else set()
    for name in sorted(empty):
        request.tell(f"class {shown(name)} is empty: it is left out")
    train = named.get("train", named.get("all", everywhere))
    for part, names in named.items():
        if part in ("train", "all"):
            continue
        odd = sorted(names - train) or (sorted(train - names) if part == "test" or "test" not in named else [])
        if odd:
            here, there = ("train", part) if odd[0] in train else (part, "train")
            here, there = (layout.called.get(side, side) for side in (here, there))
            if layout.kind == "image-tree":
                what = f"{shown(here)}/{shown(odd[0])} but no {shown(there)}/{shown(odd[0])}"
            else:
                what = f"{here} images of class {shown(odd[0])} but no {there} image of it"
            raise UserError(f"{where} has {what}: both splits need the same classes")
    check_class_names(where, sorted(everywhere))
    number_of_classes(where, sorted(everywhere))
    return order if set(order) == everywhere else in_order(everywhere)


def _decode(
    files: Files, splits: Splits, spools: dict[str, Spool], mode: Literal["rgb", "grey"], bad: _Bad, request: Request
) -> dict[str, np.ndarray]:
    """The second time through the source: pixels into the spools; which rows are good."""
    place = {item.image.path: (split, row) for split, items in splits.items() for row, item in enumerate(items)}
    kept = {split: np.zeros(len(items), bool) for split, items in splits.items()}
    total, done, largest = len(place), 0, 0
    for entry in files:
        if entry.kind != "file" or entry.path not in place:
            continue
        split, row = place[entry.path]
        content = entry.content(request.bounds.image_file)
        try:
            image, deepest = pixels_of(content, mode, request.options)
            if image.shape != spools[split].shape[1:]:
                raise BadImage("changed while it was read")
        except BadImage as fault:
            bad.add(place_of(split, splits[split][row]), str(fault))
        else:
            spools[split].write(row, image[None])
            kept[split][row] = True
            largest = max(largest, deepest)
        done += 1
        if done % 500 == 0 or done == total:
            request.progress(f"decoding {files.path.name}", done, total)
    if done != total:
        raise UserError(f"{shown(files.path)} changed while it was read: import it again")
    if 0 < largest < 1 << 14:
        request.tell(f"16-bit images reach {largest} of 65535, and so {largest // 257} of 255: they are dark")
    bad.tell()
    return kept


def _kept(spool: Spool, kept: np.ndarray) -> Spool:
    """The spool without the rows that are bad."""
    if kept.all():
        return spool
    row = 0
    for image, keep in zip(spool, kept, strict=True):
        if keep:
            spool.write(row, image[None])
            row += 1
    return spool.shortened(row)

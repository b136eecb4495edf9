"""What all images of a data set share: colours and a size, as asked for or as they are; and what was done to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from imctrain.data.own.layout import Item
from imctrain.data.own.pixels import Facts
from imctrain.data.own.survey import ImageFile
from imctrain.data.reading.names import shown
from imctrain.data.request import Request
from imctrain.errors import UserError

Splits = dict[str, list[Item]]


def place_of(split: str, item: Item) -> str:
    return f"{split}/{item.label}/{item.name}"


def _facts(splits: Splits) -> Iterator[tuple[str, Item, Facts]]:
    for split, items in splits.items():
        for item in items:
            assert item.image.facts is not None
            yield split, item, item.image.facts


def mode_of(path: Path, splits: Splits, request: Request) -> Literal["rgb", "grey"]:
    """Colours of all images: as asked for, or as they all are."""
    if request.options.mode is not None:
        return request.options.mode
    colours = Counter(facts.colour for _, _, facts in _facts(splits))
    if colours["grey"] and colours["rgb"]:
        first = next(facts.colour for _, _, facts in _facts(splits) if facts.colour != "either")
        odd = next(
            f"{shown(place_of(s, item))} is {_called(f)}"
            for s, item, f in _facts(splits)
            if f.colour not in (first, "either")
        )
        plain = next(
            f"{shown(place_of(s, item))} is {_called(f)}" for s, item, f in _facts(splits) if f.colour == first
        )
        raise UserError(
            f"{shown(path)}: {odd}, but {plain}: {colours['grey']} images are grey and {colours['rgb']} coloured; "
            "add --mode rgb or --mode grey"
        )
    return "rgb" if colours["rgb"] else "grey"


def size_of(path: Path, splits: Splits, request: Request) -> tuple[int, int]:
    """Height and width of all images: as asked for, or as they all are."""
    if request.options.size is not None:
        return request.options.size
    sizes = Counter(facts.size for _, _, facts in _facts(splits))
    if len(sizes) > 1:
        (first_split, first_item, first), *_ = _facts(splits)
        odd = next(entry for entry in _facts(splits) if entry[2].size != first.size)
        low, high = min(sizes), max(sizes)
        here, there = shown(place_of(*odd[:2])), shown(place_of(first_split, first_item))
        raise UserError(
            f"{shown(path)}: {here} is {_called(odd[2])}, but {there} is {_called(first)}: all images must have one "
            f"size, and these have {len(sizes)}, from {low[0]}x{low[1]} to {high[0]}x{high[1]}; add --size HxW to "
            "resize them"
        )
    return next(iter(sizes))


def _called(facts: Facts) -> str:
    return f"{facts.size[0]}x{facts.size[1]}x{3 if facts.colour == 'rgb' else 1}"


def tell_rules(images: Iterable[ImageFile], mode: Literal["rgb", "grey"], request: Request) -> None:
    """Which of the rules of docs/data.md were needed."""
    counts: Counter[str] = Counter()
    options = request.options
    for image in images:
        assert image.facts is not None
        facts = image.facts
        counts[f"with an alpha channel, laid over {options.background}"] += facts.clear
        counts["of several frames: the first is taken"] += facts.frames
        counts["turned upright by EXIF"] += facts.turned
        counts[f"of {facts.mode} pixels, taken as RGB"] += facts.mode in ("CMYK", "YCbCr", "HSV")
        counts["with 16 bits a pixel, brought to 8"] += facts.deep
        counts["coloured, turned grey"] += facts.colour == "rgb" and mode == "grey"
        counts["grey, taken as RGB"] += facts.colour == "grey" and mode == "rgb"
        if options.size is not None:
            counts[f"resized to {options.size[0]}x{options.size[1]} ({options.fit})"] += facts.size != options.size
    told = [f"{count} {what}" for what, count in counts.items() if count]
    if told:
        request.tell(f"images: {'; '.join(told)}")


def tell_copies(splits: Splits, request: Request) -> None:
    """Files with the same content, and above all those on both sides of a split."""
    seen: dict[str, tuple[str, str]] = {}
    copies = other_split = other_class = 0
    for split, item, _ in _facts(splits):
        here = (split, item.label)
        first = seen.setdefault(item.image.sha256, here)
        if first is here:
            continue
        copies += 1
        other_split += first[0] != split
        other_class += first[1] != item.label
    if copies:
        note = f"{copies} files are copies of others"
        note += f"; {other_split} of an image in another split" if other_split else ""
        note += f"; {other_class} of an image of another class" if other_class else ""
        request.tell(note)

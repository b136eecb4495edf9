"""A table of text that says the class of every image of a folder: `filename,label`, and `split` where there is one."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from imctrain.data.own.layout import Item, Layout, split_of
from imctrain.data.own.pixels import SUFFIXES
from imctrain.data.own.survey import ImageFile, Survey
from imctrain.data.reading.names import shown
from imctrain.data.request import Tell
from imctrain.errors import UserError

_FILE = (
    "filename",
    "file_name",
    "file",
    "image",
    "image_name",
    "img",
    "path",
    "filepath",
    "image_path",
    "image_id",
    "id",
)
_LABEL = ("label", "labels", "class", "class_name", "category", "target")
_SPLIT = ("split", "set", "subset", "partition")


def layout_by_table(path: Path, found: Survey, tell: Tell) -> Layout | None:
    """Splits and classes by the tables that lie with the images; None where there is none with the two columns.

    Raises:
        UserError: a table that names an image that is not there, or one image twice.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    for place in found.images:
        by_name[place.rsplit("/", 1)[-1]].append(place)
    splits: dict[str, list[Item]] = defaultdict(list)
    listed: set[str] = set()
    tables = []
    for table, content in sorted(found.tables.items()):
        rows = _rows(path, table, content)
        if rows is None:
            continue
        tables.append(table)
        for line, name, label, split in rows:
            where = f"{shown(path)}: {shown(table)}, line {line}"
            image = _image(where, table, name, found, by_name)
            if image.path in listed:
                raise UserError(f"{where} names {shown(name)}, which was named before: an image has one class")
            listed.add(image.path)
            splits[split or "all"].append(Item(label, image.path, image))
    if not listed:
        return None
    if "all" in splits and len(splits) > 1:
        raise UserError(f"{shown(path)}: {shown(tables[0])} gives some images a split and others none: give it to all")
    outside = found.images.keys() - listed
    if outside:
        tell(f"{len(outside)} images are in no table and are left out ({shown(min(outside))})")
        for image_path in outside:
            del found.images[image_path]
    for items in splits.values():
        items.sort(key=lambda item: (item.label, item.name))
    tell(f"classes are read from {', '.join(map(shown, tables))}")
    return Layout(dict(splits), {split: split for split in splits}, kind="image-list")


def _image(where: str, table: str, name: str, found: Survey, by_name: dict[str, list[str]]) -> ImageFile:
    """The image that a row names: by its path from the table or the source, or by its name alone; the suffix may be
    left out."""
    folder = table.rpartition("/")[0]
    for suffix in ("", *SUFFIXES):
        for candidate in (f"{folder}/{name}{suffix}" if folder else name + suffix, name + suffix):
            if candidate in found.images:
                return found.images[candidate]
        same = by_name.get(name.rsplit("/", 1)[-1] + suffix, [])
        if len(same) == 1:
            return found.images[same[0]]
        if same:
            raise UserError(f"{where} names {shown(name)}, of which there are {len(same)}: give the path")
    raise UserError(f"{where} names {shown(name)}, which is not there")


def _rows(path: Path, table: str, content: bytes) -> Iterator[tuple[int, str, str, str | None]] | None:
    """(line, file, label, split) of a table; None for a table of something else."""
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        header = [name.strip().casefold() for name in next(reader, [])]
    except csv.Error:
        return None
    file, label, split = (
        next((header.index(n) for n in names if n in header), None) for names in (_FILE, _LABEL, _SPLIT)
    )
    if file is None or label is None:
        return None
    of_table = split_of(table.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    return _read(f"{shown(path)}: {shown(table)}", reader, (file, label, split), of_table)


def _read(
    where: str, reader: Iterator[list[str]], columns: tuple[int, int, int | None], of_table: str | None
) -> Iterator[tuple[int, str, str, str | None]]:
    file, label, split = columns
    line = 1
    try:
        for line, row in enumerate(reader, 2):
            if not any(cell.strip() for cell in row):
                continue
            if len(row) <= max(file, label, split or 0):
                raise UserError(f"{where}, line {line} has {len(row)} cells, fewer than its header: complete it")
            of_row = of_table
            if split is not None:
                of_row = split_of(row[split].strip())
                if of_row is None:
                    raise UserError(
                        f"{where}, line {line} has the split {shown(row[split])}: known are train, validation and test"
                    )
            yield line, row[file].strip().replace("\\", "/").removeprefix("./"), row[label].strip(), of_row
    except csv.Error as fault:
        raise UserError(f"{where}, line {line + 1} cannot be read ({fault}): correct it") from fault

"""The first look at a source of images: what every file is, by its header. Nothing is decoded."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass, field

from imctrain.data.own.junk import LeftOut, junk_name
from imctrain.data.own.pixels import SUFFIXES, BadImage, Facts, facts_of, looks_like_image
from imctrain.data.reading.files import Entry, Files
from imctrain.data.request import Request
from imctrain.errors import UserError

TABLES = (".csv", ".tsv")
_TABLE_BYTES = 64 << 20
_HEAD = 16


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image of a source.

    Attributes:
        path: within the source. sha256: of its bytes. facts: None for one that is bad, `fault` then says why.
    """

    path: str
    sha256: str
    facts: Facts | None
    fault: str = ""


@dataclass
class Survey:
    """What a source holds.

    Attributes:
        images: by path. folders: paths of all folders, empty ones too. tables: content of tables of text by path.
        left_out: everything else.
    """

    images: dict[str, ImageFile] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    tables: dict[str, bytes] = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=LeftOut)


def survey(files: Files, request: Request) -> Survey:
    """Goes through a source once.

    Raises:
        UserError: a damaged source, one beyond the bounds, or the same file twice.
    """
    found = Survey()
    seen: set[str] = set()
    for entry in files:
        if entry.path in seen and entry.kind == "file":
            raise UserError(f"{files.path} holds {entry.path!r} twice: pack it again")
        seen.add(entry.path)
        _sort(found, entry, files)
        if len(seen) % 500 == 0:
            request.progress(f"looking through {files.path.name}", len(seen), 0)
    return found


def _sort(found: Survey, entry: Entry, files: Files) -> None:
    junk = junk_name(entry.parts)
    if entry.kind == "folder":
        if junk is None:
            found.folders.add(entry.path)
        return
    name = entry.parts[-1].lower()
    if junk is not None:
        found.left_out.add(junk, entry.path)
    elif entry.kind == "special":
        if name.endswith(SUFFIXES):
            found.images[entry.path] = ImageFile(entry.path, "", None, "is a link to nothing, or no file")
        else:
            found.left_out.add("links to nothing, devices and pipes", entry.path)
    elif name.endswith(TABLES) and entry.size <= _TABLE_BYTES:
        found.tables[entry.path] = entry.content(_TABLE_BYTES)
    else:
        _look(found, entry, files)


def _look(found: Survey, entry: Entry, files: Files) -> None:
    """At the header of what may be an image; a file of another kind is not read on."""
    named = entry.parts[-1].lower().endswith(SUFFIXES)
    with closing(entry.stream()) as stream:
        head = stream.read(_HEAD)
        if not looks_like_image(head) and not named:
            found.left_out.add_other(entry.path)
            return
        content = entry.rest(stream, head, files.bounds.image_file)
    digest = hashlib.sha256(content).hexdigest()
    try:
        image = ImageFile(entry.path, digest, facts_of(content, files.bounds.pixels))
    except BadImage as fault:
        if not named:
            found.left_out.add_other(entry.path)
            return
        image = ImageFile(entry.path, digest, None, str(fault))
    found.images[entry.path] = image

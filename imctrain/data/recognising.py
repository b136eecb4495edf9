"""What a path holds: the files of a published data set, idx files, arrays, or images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imctrain.data.archive import check_source, open_files
from imctrain.data.dataset import RawImages
from imctrain.data.own.array_files import is_arrays
from imctrain.data.own.arrays import read_arrays
from imctrain.data.own.tree import read_tree
from imctrain.data.published.idx import has_idx, read_idx
from imctrain.data.published.official import Official
from imctrain.data.published.svhn import FORMAT_1, FULL_IMAGES
from imctrain.data.reading.names import shown
from imctrain.data.request import AS_THEY_ARE, Request
from imctrain.errors import UserError

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".zst", ".tbz", ".txz")


def read_source(name: str, path: Path, official: Mapping[str, Official], request: Request) -> RawImages:
    """Reads whatever kind of source `path` is.

    Args:
        name: of the data set: one of `official`, or one of the user's own.
        path: file or folder. official: the published data sets. request: how it is read.

    Raises:
        UserError: it is neither, damaged, or the published files of another data set.
    """
    check_source(path)
    own = official.get(name)
    for known in official.values():
        if known.recognise is not None and known.recognise(path):
            if known.name != name:
                raise UserError(
                    f"{shown(path)} is the official {known.title} archive: import it as {known.name}, not {name}"
                )
            return _published(known, path, request)
    if is_arrays(path):
        return read_arrays(path, request, () if own is None else own.expected.classes)
    kinds = has_idx(path, request)
    if kinds:
        return _idx(name, own, path, kinds, official, request)
    try:
        return read_tree(path, request, () if own is None else own.expected.classes)
    except UserError as fault:
        if path.is_file() and _holds(path, FULL_IMAGES, request):
            raise UserError(f"{shown(path)} {FORMAT_1}") from fault
        hint = _hint(path)
        if hint is None and own is not None and "has no" in str(fault):
            hint = f"{own.title} comes as {own.files}"
        if hint is None:
            raise
        raise UserError(f"{fault}; {hint}") from fault


def _published(known: Official, path: Path, request: Request) -> RawImages:
    if request.options != AS_THEY_ARE:
        raise UserError(f"{known.name} is imported as it was published: leave the options for your own images out")
    return known.read(path, checksums=known.checksums, request=request)


def _idx(
    name: str, own: Official | None, path: Path, kinds: set[str], official: Mapping[str, Official], request: Request
) -> RawImages:
    """The idx files of the data set that the name says."""
    if own is not None and own.idx is not None:
        if own.idx not in kinds:
            found = ", ".join(sorted(_name_of(kind, official) for kind in kinds))
            raise UserError(
                f"{shown(path)} holds no files of {own.name}, but of {found}: {own.title} comes as {own.files}"
            )
        return _published(own, path, request)
    if own is not None:
        raise UserError(f"{shown(path)} holds idx files, and {own.title} comes as {own.files}")
    named = sorted(_name_of(kind, official) for kind in kinds if kind)
    if "" not in kinds and named:
        raise UserError(
            f"{shown(path)} holds idx files of {', '.join(named)}: import it under that name, not as {name}"
        )
    if request.options != AS_THEY_ARE:
        raise UserError(f"{shown(path)} holds idx files, which are taken as they are: leave the options for images out")
    return read_idx(path, request=request)


def _name_of(kind: str, official: Mapping[str, Official]) -> str:
    return next((known.name for known in official.values() if known.idx == kind), kind) if kind else "MNIST's names"


def _holds(path: Path, name: str, request: Request) -> bool:
    """Whether an archive holds a file of that name, as far as it can be read."""
    try:
        return any(entry.parts[-1] == name for entry in open_files(path, request.bounds))
    except UserError:
        return False


def _hint(path: Path) -> str | None:
    """What may have been meant where a folder holds no images."""
    if not path.is_dir():
        return None
    packed = sorted(file.name for file in path.iterdir() if file.name.lower().endswith(_ARCHIVES) and file.is_file())
    images = any(child.is_dir() for child in path.iterdir())
    return f"it holds {shown(packed[0])}: give the path of that" if packed and not images else None

"""Prepared data sets, read again and compared with what was imported."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from imctrain.data import cache, prepared
from imctrain.data.archive import Progress, no_progress
from imctrain.data.dataset import PixelDigest, content_hash
from imctrain.data.paths import search_dirs
from imctrain.data.records import decode_image, records_of
from imctrain.data.sources import EMBEDDED
from imctrain.errors import UserError


def check_prepared(name: str, data_dir: str | Path | None = None, *, progress: Progress = no_progress) -> str:
    """Decodes every image of a data set.

    Args:
        name: as `load` takes it. data_dir: as `load` takes it. progress: told about decoding.

    Returns:
        What was found, in a line.

    Raises:
        UserError: it is not prepared, or anything of it is damaged.
    """
    if name in EMBEDDED:
        return "comes with an installed package"
    path = prepared.find(name, data_dir)
    if path is None:
        raise UserError(f"{name} is not prepared: `imctrain data list` shows what is")
    facts = prepared.describe(path, name)
    digest = PixelDigest()
    counts = []
    for split, records in records_of(path, name).items():
        classes = np.zeros(facts.classes, np.int64)
        for index in range(len(records.examples)):
            encoded, label = records[index]
            if not 0 <= label < facts.classes:
                raise UserError(f"{split} image {index} has label {label}: allowed is 0 to {facts.classes - 1}")
            digest.add(records.split, label, decode_image(encoded, name, index))
            classes[label] += 1
            if index % 1000 == 999 or index == len(records.examples) - 1:
                progress(f"checking {name} {split} images", index + 1, len(records.examples))
        counts.append(f"{int(classes.sum())} {split}")
    found = f"{' and '.join(counts)} images can be decoded"
    if facts.source.pixels:
        if digest.hexdigest() != facts.source.pixels:
            raise UserError(f"its images are others than were imported: import it again with --replace ({path})")
        found += ", and are those that were imported"
    return found + _cache(path, name, data_dir)


def _cache(path: Path, name: str, data_dir: str | Path | None) -> str:
    """Compares the decoded cache, where there is one, with the hash that it keeps."""
    home = next(folder for folder in search_dirs(data_dir) if path.is_relative_to(folder))
    folder = cache.cache_path(path, name, home)
    if not folder.is_dir():
        return "; no cache"
    content = None
    with contextlib.suppress(OSError, ValueError, KeyError):
        content = cache.open_cache(folder)
    whole = content is not None and content.content in ("", content_hash(content.train, content.test))
    if content is not None and content.validation is not None:
        whole = whole and content.given_content == content_hash(content.validation)
    if not whole:
        raise UserError(f"its decoded cache is damaged: delete {folder}, it is made again")
    return "; its cache is whole"

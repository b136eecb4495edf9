"""`load`: a data set by name."""

from __future__ import annotations

import difflib
from pathlib import Path

from imctrain.data import cache, prepared
from imctrain.data.archive import Progress, no_progress
from imctrain.data.dataset import Dataset, Source
from imctrain.data.paths import resolve_data_dir, search_dirs
from imctrain.data.sources import EMBEDDED, OFFICIAL
from imctrain.errors import UserError


def load(name: str, data_dir: str | Path | None = None, *, progress: Progress = no_progress) -> Dataset:
    """The data set `name`, decoded and mapped into memory.

    The first load of a prepared data set decodes it into a cache; later loads map that.

    Args:
        name: "digits" (embedded), or any image-classification data set prepared under the data directory as
            ArrayRecord: NAME or NAME/CONFIG.
        data_dir: folder of prepared data sets; None for $IMCTRAIN_DATA_DIR or the default, then TFDS's own folder.
        progress: told about decoding.

    Raises:
        UserError: it is not prepared (the message has the command that prepares it), or not usable.
    """
    if name in EMBEDDED:
        return EMBEDDED[name]()
    records = prepared.find(name, data_dir)
    if records is None:
        raise UserError(_not_prepared(name, data_dir))
    home = next(folder for folder in search_dirs(data_dir) if records.is_relative_to(folder))
    content = cache.decoded(records, name, home, progress)
    info = prepared.read_builder(records).info
    _, label = prepared.image_and_label(info, name)
    height, width, channels = content.train.images.shape[1:]
    return Dataset(
        name=name,
        train=content.train,
        test=content.test,
        classes=tuple(info.features[label].names),
        shape=(height, width, channels),
        mean=content.mean,
        std=content.std,
        source=Source.from_dict(dict(info.metadata or {})),
        path=records,
        known_content=content.content,
        validation=content.validation,
        known_validation=content.given_content,
    )


def _not_prepared(name: str, data_dir: str | Path | None) -> str:
    known = [*EMBEDDED, *(entry.name for entry in prepared.list_prepared(data_dir))]
    nearest = difflib.get_close_matches(name, [*known, *OFFICIAL], n=1, cutoff=0.75)
    hint = f" (did you mean {nearest[0]}?)" if nearest and nearest[0] != name else ""
    command = f"imctrain data import {name} PATH"
    if data_dir is not None:
        command += f" --data-dir {data_dir}"
    return (
        f"data set {name!r} is not prepared in {resolve_data_dir(data_dir)}{hint}: "
        f"run `{command}`; prepared are {', '.join(known)}"
    )

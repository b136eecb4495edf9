"""Imports a data set from files: read, verify, write beside the place, then rename into it.

Everything is verified before any record is written. Downloads and records go to a staging folder `.importing-*` of the
data directory, and the finished records are renamed into place, so a data set is there wholly or not at all. What a
killed import left is removed by the next one. A lock keeps two imports into one data directory apart.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import socket
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.data import prepared
from imctrain.data.archive import Progress, no_progress, sha256_of_file
from imctrain.data.dataset import RawImages
from imctrain.data.image_tree import read_tree
from imctrain.data.official import Official
from imctrain.data.paths import resolve_data_dir
from imctrain.data.prepared import Prepared
from imctrain.data.sources import EMBEDDED, OFFICIAL
from imctrain.data.verify import verify
from imctrain.errors import UserError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

STAGING_PREFIX = ".importing-"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def import_dataset(
    name: str,
    path: str | Path | None = None,
    *,
    data_dir: str | Path | None = None,
    replace: bool = False,
    official: Mapping[str, Official] = OFFICIAL,
    progress: Progress = no_progress,
) -> tuple[Prepared, bool]:
    """Prepares a data set, unless it already is prepared from the same source.

    Args:
        name: one of `official`, or a new name for an image tree.
        path: an archive or folder; None downloads the official archive, of those that TFDS downloads.
        data_dir: where to put it; None for the default.
        replace: replace what was prepared from another source.
        official: the published data sets, by name.
        progress: told what is being done.

    Returns:
        The prepared data set, and whether it was written now.

    Raises:
        UserError: the source is missing, damaged, or not what it should be; nothing is left behind.
    """
    if not _NAME.fullmatch(name) or name in EMBEDDED:
        built_in = " and ".join(EMBEDDED)
        raise UserError(f"data set name {name!r} is not possible: use a-z, 0-9 and _ ({built_in} is built in)")
    own = official.get(name)
    source = None if path is None else Path(path).expanduser()
    if source is not None and not source.exists():
        raise UserError(f"{source} does not exist: give an archive or a folder with images of {name}")
    if source is None and not (own is not None and own.downloads):
        raise UserError(f"{name} is not downloaded for you: give its path, `imctrain data import {name} PATH`")

    folder = resolve_data_dir(data_dir)
    existing = _existing(name, folder)
    if existing is not None and not replace:
        same = source is None or (source.is_file() and sha256_of_file(source) == existing.source.sha256)
        if same:
            return existing, False
    raw = None
    if source is not None:
        raw = _read(name, source, official, progress)
        verify(raw, None if own is None else own.expected, str(source))
    if existing is not None and not replace:
        assert raw is not None
        if raw.source.sha256 == existing.source.sha256:
            return existing, False
        raise UserError(
            f"{name} is already prepared in {existing.path} from {existing.source.file or 'another source'}: "
            "add --replace to replace it"
        )
    with _staging(folder) as stage:
        builder = _builder(name, raw, own, stage, progress)
        _prepare(builder, folder, downloads=stage / "downloads")
        _move_into_place(Path(builder.data_dir), folder / Path(builder.data_dir).relative_to(stage), stage)
    done = _existing(name, folder)
    assert done is not None
    return done, True


def _existing(name: str, folder: Path) -> Prepared | None:
    path = prepared.find(name, folder)
    return None if path is None else prepared.describe(path, name)


def _read(name: str, path: Path, official: Mapping[str, Official], progress: Progress) -> RawImages:
    """Reads whatever kind of source `path` is."""
    own = official.get(name)
    if own is not None and own.recognise is None:
        return own.read(path, checksums=own.checksums, progress=progress)
    for known in official.values():
        if known.recognise is not None and known.recognise(path):
            if known.name != name:
                raise UserError(f"{path} is the official {known.title} archive: import it as {known.name}, not {name}")
            return known.read(path, checksums=known.checksums, progress=progress)
    return read_tree(path, progress=progress)


def _builder(
    name: str, raw: RawImages | None, own: Official | None, stage: Path, progress: Progress
) -> tfds.core.DatasetBuilder:
    from imctrain.data import builders

    def read(manager: tfds.download.DownloadManager) -> RawImages:
        if raw is not None:
            return raw
        assert own is not None
        archive = _download(own.name, manager, progress)
        fetched = own.read(archive, checksums=own.checksums, progress=progress)
        verify(fetched, own.expected, str(archive))
        return fetched

    if own is not None:
        return builders.official_builder(own)(reader=read, progress=progress, data_dir=stage)
    assert raw is not None
    height, width, channels = raw.splits["train"].images.shape[1:]
    tree = builders.image_tree_builder(name, (height, width, channels), raw.classes)
    return tree(reader=read, progress=progress, data_dir=stage)


def _download(name: str, manager: tfds.download.DownloadManager, progress: Progress) -> Path:
    """The official archive through TFDS's download manager, which verifies its checksum."""
    import requests
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    from imctrain.data import builders

    (url,) = builders.known_urls(name)
    elsewhere = f"download it elsewhere and run `imctrain data import {name} PATH`"
    host = str(urllib.parse.urlsplit(url).hostname)
    if not urllib.request.getproxies():
        # TFDS retries for minutes where there is no network at all.
        try:
            socket.getaddrinfo(host, 443)
        except OSError as fault:
            raise UserError(
                f"cannot download {url}: {host} is not reachable ({fault.strerror}); {elsewhere}"
            ) from fault
    progress(f"downloading {url}", 0, 0)
    try:
        return Path(manager.download(url))
    except NonMatchingChecksumError as fault:
        raise UserError(f"{url} has the wrong checksum: try again, or {elsewhere}") from fault
    except (requests.RequestException, DownloadError) as fault:
        raise UserError(f"cannot download {url} ({type(fault).__name__}); {elsewhere}") from fault


def _prepare(builder: tfds.core.DatasetBuilder, folder: Path, downloads: Path) -> None:
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(force_checksums_validation=True, try_download_gcs=False)
    try:
        with prepared.quiet_tfds():
            builder.download_and_prepare(download_dir=downloads, download_config=config)
    except OSError as fault:
        raise UserError(f"cannot write the data set to {folder} ({fault.strerror or fault})") from fault


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A fresh folder in the data directory, removed at the end; only one import at a time gets one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".import.lock").open("w")
    except OSError as fault:
        raise UserError(
            f"cannot write to data directory {folder} ({fault.strerror}): choose another with --data-dir"
        ) from fault
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            raise UserError(f"another import into {folder} is running: wait for it to end") from fault
        for left_behind in folder.glob(f"{STAGING_PREFIX}*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        stage = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=folder))
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _move_into_place(written: Path, target: Path, stage: Path) -> None:
    for file in written.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(stage / "replaced")
    written.rename(target)

"""Imports a data set from files: read, verify, write beside the place, then rename into it.

Everything is verified before any record is written. Downloads and records go to a staging folder `.importing-*` of the
data directory, and the finished records are renamed into place, so a data set is there wholly or not at all. What a
killed import left is removed by the next one. A lock keeps two imports into one data directory apart.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
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
from imctrain.data.archive import Progress, check_source, no_progress, sha256_of_file
from imctrain.data.dataset import RawImages
from imctrain.data.own.splitting import check_class_names, number_of_classes, tell_counts
from imctrain.data.paths import resolve_data_dir
from imctrain.data.prepared import Prepared
from imctrain.data.published.official import Official
from imctrain.data.reading.bounds import DEFAULT, Bounds
from imctrain.data.reading.names import shown
from imctrain.data.recognising import read_source
from imctrain.data.request import AS_THEY_ARE, Options, Request, Tell, tell_nobody
from imctrain.data.room import is_full, no_room
from imctrain.data.sources import EMBEDDED, OFFICIAL
from imctrain.data.verify import compare, verify
from imctrain.errors import UserError
from imctrain.paths import given_path

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

STAGING_PREFIX = ".importing-"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST_NAME = 100
_FREE_ENOUGH = 1 << 16


def import_dataset(
    name: str,
    path: str | Path | None = None,
    *,
    data_dir: str | Path | None = None,
    replace: bool = False,
    official: Mapping[str, Official] = OFFICIAL,
    options: Options = AS_THEY_ARE,
    bounds: Bounds = DEFAULT,
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> tuple[Prepared, bool]:
    """Prepares a data set, unless it already is prepared from the same source with the same options.

    Args:
        name: one of `official`, or a new name for data of the user's own.
        path: a file, an archive or a folder; None downloads the official archive, of those that TFDS downloads.
        data_dir: where to put it; None for the default.
        replace: replace what was prepared from another source, or with other options.
        official: the published data sets, by name.
        options: how images of the user's own are read. bounds: of what is unpacked.
        progress: told what is being done. tell: told what the user should know of the source, a line each.

    Returns:
        The prepared data set, and whether it was written now.

    Raises:
        UserError: the source is missing, damaged, or not what it should be, or there is no room; nothing is left
            behind.
    """
    own, source = _checked(name, path, official)
    folder = resolve_data_dir(data_dir)
    existing = _existing(name, folder, replace)
    if existing is not None and not replace and (source is None or _same_file(source, existing, options)):
        return existing, False
    with _staging(folder) as stage:
        request = Request(options, bounds, progress, tell, stage)
        raw = None if source is None else _verified(name, source, own, official, request)
        if existing is not None and not replace:
            assert raw is not None
            if (raw.source.sha256, raw.source.how) == (existing.source.sha256, existing.source.how):
                return existing, False
            same = raw.source.sha256 == existing.source.sha256
            before = "it with other options" if same else existing.source.file or "another source"
            raise UserError(f"{name} is already prepared in {existing.path} from {before}: add --replace to replace it")
        builder = _builder(name, raw, own, stage, request)
        _prepare(builder, folder, stage, 0 if raw is None else raw.size)
        _move_into_place(Path(builder.data_dir), folder / Path(builder.data_dir).relative_to(stage), stage)
    done = _existing(name, folder, replace=False)
    assert done is not None
    return done, True


def _checked(
    name: str, path: str | Path | None, official: Mapping[str, Official]
) -> tuple[Official | None, Path | None]:
    """The published data set of that name, and the source, where there are any."""
    if not _NAME.fullmatch(name) or name in EMBEDDED:
        built_in = " and ".join(EMBEDDED)
        raise UserError(f"data set name {shown(name)!r} is not possible: use a-z, 0-9 and _ ({built_in} is built in)")
    if len(name) > _LONGEST_NAME:
        raise UserError(f"data set name {shown(name)!r} has {len(name)} characters: {_LONGEST_NAME} are possible")
    several = [known for known in official if known.startswith(f"{name}_")]
    if name not in official and len(several) > 1:
        raise UserError(f"{name} is published as {len(several)} data sets: import it as one of {', '.join(several)}")
    own = official.get(name)
    source = None if path is None else given_path(path)
    if source is not None:
        check_source(source)
    elif own is None or not own.downloads:
        raise UserError(f"{name} is not downloaded for you: give its path, `imctrain data import {name} PATH`")
    return own, source


def _existing(name: str, folder: Path, replace: bool) -> Prepared | None:
    path = prepared.find(name, folder)
    try:
        return None if path is None else prepared.describe(path, name)
    except UserError:
        if replace:  # a damaged one
            return None
        raise


def _same_file(source: Path, existing: Prepared, options: Options) -> bool:
    """Whether a file is known to be what was imported, without reading its images."""
    if not source.is_file():
        return False
    try:
        return (sha256_of_file(source), options.how) == (existing.source.sha256, existing.source.how)
    except OSError as fault:
        raise UserError(f"{shown(source)} cannot be read: {fault.strerror or fault}") from fault


def _verified(
    name: str, source: Path, own: Official | None, official: Mapping[str, Official], request: Request
) -> RawImages:
    """The source's images, checked, and what is odd about them told."""
    raw = read_source(name, source, official, request)
    remark = verify(raw, None if own is None else own.expected, str(source))
    if own is None:
        check_class_names(shown(source), raw.classes)
        number_of_classes(shown(source), raw.classes)
        tell_counts({split: found.labels for split, found in raw.splits.items()}, raw.classes, request.tell)
    else:
        compare(remark, own.title, request.tell)
    return dataclasses.replace(raw, source=dataclasses.replace(raw.source, remark=remark))


def _builder(
    name: str, raw: RawImages | None, own: Official | None, stage: Path, request: Request
) -> tfds.core.DatasetBuilder:
    from imctrain.data import builders

    def read(manager: tfds.download.DownloadManager) -> RawImages:
        if raw is not None:
            return raw
        assert own is not None
        archive = _download(own.name, manager, request.progress)
        fetched = own.read(archive, checksums=own.checksums, request=request)
        verify(fetched, own.expected, str(archive))
        return fetched

    if own is not None:
        return builders.official_builder(own)(reader=read, progress=request.progress, data_dir=stage)
    assert raw is not None
    height, width, channels = raw.splits["train"].images.shape[1:]
    tree = builders.image_tree_builder(name, (height, width, channels), raw.classes)
    return tree(reader=read, progress=request.progress, data_dir=stage)


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


def _prepare(builder: tfds.core.DatasetBuilder, folder: Path, stage: Path, size: int) -> None:
    """Writes the records, and reads them again: a full disk is not always an error of the library that writes them.

    `size`: bytes of the decoded images; their PNG files take no more, but for noise. 0 where it is not known.
    """
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(force_checksums_validation=True, try_download_gcs=False)
    try:
        with prepared.quiet_tfds():
            builder.download_and_prepare(download_dir=stage / "downloads", download_config=config)
        prepared.check_records(Path(builder.data_dir))
    except UserError:
        raise
    except Exception as fault:
        raise _written_fault(fault, folder, size) from fault


def _written_fault(fault: Exception, folder: Path, size: int) -> Exception:
    """What went wrong when records were written: of the disk, if the library says so or nothing is free."""
    full = isinstance(fault, OSError) and is_full(fault)
    words = str(fault).lower()
    free = shutil.disk_usage(folder).free
    if full or "no space" in words or "quota" in words or "file too large" in words or free < _FREE_ENOUGH:
        reason = fault if isinstance(fault, OSError) else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return no_room(reason, folder, size, "writing the records")
    if isinstance(fault, OSError):
        return UserError(f"cannot write the data set to {folder} ({fault.strerror or fault})")
    return fault


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
        stage = None
        try:
            stage = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=folder))
            yield stage
        except OSError as fault:
            raise UserError(
                f"cannot write to data directory {folder} ({fault.strerror or fault}; "
                f"{shutil.disk_usage(folder).free} bytes are free): make room, or choose another with --data-dir"
            ) from fault
        finally:
            if stage is not None:
                shutil.rmtree(stage, ignore_errors=True)


def _move_into_place(written: Path, target: Path, stage: Path) -> None:
    for file in written.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(stage / "replaced")
    written.rename(target)

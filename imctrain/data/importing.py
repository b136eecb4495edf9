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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imctrain.data import idx, official, prepared
from imctrain.data.archive import Progress, first_member, no_progress, sha256_of_file
from imctrain.data.dataset import RawImages
from imctrain.data.image_tree import read_tree
from imctrain.data.paths import resolve_data_dir
from imctrain.data.prepared import Prepared
from imctrain.data.verify import CIFAR10, FASHION_MNIST, FASHION_MNIST_CLASSES, Expected, verify
from imctrain.errors import UserError

STAGING_PREFIX = ".importing-"
PUBLISHED = {"cifar10": CIFAR10, "fashion_mnist": FASHION_MNIST}
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def import_dataset(
    name: str,
    path: str | Path | None = None,
    *,
    data_dir: str | Path | None = None,
    replace: bool = False,
    expected: dict[str, Expected] = PUBLISHED,
    checksums: dict[str, str] | None = official.OFFICIAL_SHA256,
    progress: Progress = no_progress,
) -> tuple[Prepared, bool]:
    """Prepares a data set, unless it already is prepared from the same source.

    Args:
        name: "cifar10", "fashion_mnist", or a new name for an image tree.
        path: an archive or folder; None downloads the official archive (cifar10 only).
        data_dir: where to put it; None for the default.
        replace: replace what was prepared from another source.
        expected: what published data sets must contain.
        checksums: what the official CIFAR-10 archives must hash to; None to skip the check.
        progress: told what is being done.

    Returns:
        The prepared data set, and whether it was written now.

    Raises:
        UserError: the source is missing, damaged, or not what it should be; nothing is left behind.
    """
    if not _NAME.fullmatch(name) or name == "digits":
        raise UserError(f"data set name {name!r} is not possible: use a-z, 0-9 and _ (digits is built in)")
    source = None if path is None else Path(path).expanduser()
    if source is not None and not source.exists():
        raise UserError(f"{source} does not exist: give an archive or a folder with images of {name}")
    if source is None and name != "cifar10":
        raise UserError(f"{name} is not downloaded for you: give its path, `imctrain data import {name} PATH`")

    folder = resolve_data_dir(data_dir)
    existing = _existing(name, folder)
    if existing is not None and not replace:
        same = source is None or (source.is_file() and sha256_of_file(source) == existing.source.sha256)
        if same:
            return existing, False
    raw = None
    if source is not None:
        raw = _read(name, source, checksums, progress)
        verify(raw, expected.get(name), str(source))
    if existing is not None and not replace:
        assert raw is not None
        if raw.source.sha256 == existing.source.sha256:
            return existing, False
        raise UserError(
            f"{name} is already prepared in {existing.path} from {existing.source.file or 'another source'}: "
            "add --replace to replace it"
        )
    with _staging(folder) as stage:
        builder = _builder(name, raw, stage, expected.get(name), checksums, progress)
        _prepare(builder, folder, downloads=stage / "downloads")
        _move_into_place(Path(builder.data_dir), folder / Path(builder.data_dir).relative_to(stage), stage)
    done = _existing(name, folder)
    assert done is not None
    return done, True


def _existing(name: str, folder: Path) -> Prepared | None:
    path = prepared.find(name, folder)
    return None if path is None else prepared.describe(path, name)


def _read(name: str, path: Path, checksums: dict[str, str] | None, progress: Progress) -> RawImages:
    """Reads whatever kind of source `path` is."""
    if name == "fashion_mnist":
        return idx.read_idx_folder(path, FASHION_MNIST_CLASSES, progress=progress)
    if path.is_file():
        folder = first_member(path).split("/")[0]
        if folder in official.OFFICIAL_SHA256:
            if name != "cifar10":
                raise UserError(f"{path} is the official CIFAR-10 archive: import it as cifar10, not {name}")
            return official.read_official(path, folder, checksums=checksums, progress=progress)
    elif any(
        (path / part / "test_batch").with_suffix(suffix).is_file()
        for part in ("", *official.OFFICIAL_SHA256)
        for suffix in ("", ".bin")
    ):
        raise UserError(f"{path} is an extracted CIFAR-10 archive: give the .tar.gz itself, so that it can be verified")
    return read_tree(path, progress=progress)


def _builder(
    name: str,
    raw: RawImages | None,
    stage: Path,
    expected: Expected | None,
    checksums: dict[str, str] | None,
    progress: Progress,
) -> Any:
    from imctrain.data import builders

    if name == "cifar10":

        def read(manager: Any) -> RawImages:
            if raw is not None:
                return raw
            archive = _download(manager, progress)
            fetched = official.read_official(archive, official.BINARY_FOLDER, checksums=checksums, progress=progress)
            verify(fetched, expected, str(archive))
            return fetched

        return builders.Cifar10(reader=read, progress=progress, data_dir=stage)
    assert raw is not None
    if name == "fashion_mnist":
        return builders.FashionMnist(reader=lambda manager: raw, progress=progress, data_dir=stage)
    shape = raw.splits["train"].images.shape[1:]
    tree = builders.image_tree_builder(name, shape, raw.classes)
    return tree(reader=lambda manager: raw, progress=progress, data_dir=stage)


def _download(manager: Any, progress: Progress) -> Path:
    """The official archive through TFDS's download manager, which verifies its checksum."""
    import requests
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    from imctrain.data.builders import Cifar10

    (url,) = Cifar10.url_infos
    elsewhere = "download it elsewhere and run `imctrain data import cifar10 PATH`"
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


def _prepare(builder: Any, folder: Path, downloads: Path) -> None:
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

"""Finished trials of a sweep's folder in one file, `trials.tar.xz`, and how whoever reads the folder sees them.

A trial is a folder of small files, most of which are alike in every trial: packed, a hundred of them take a fiftieth.
The file holds plan/KEY.json and trials/KEY/ as they were, without pictures (which are drawn again from the rest) and
checkpoints. Reports, claims and sweeps read it as if it were unpacked: it is, into a cache folder named by its hash.
"""

from __future__ import annotations

import functools
import hashlib
import io
import lzma
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from imctrain.errors import UserError
from imctrain.files import is_abandoned, replacing, scratch_folder
from imctrain.paths import cache_folder
from imctrain.reading import read_bytes
from imctrain.records.layout import ARCHIVE, CHECKPOINTS, RESULT, SweepFiles

LEFT_OUT = {".png", ".pdf", ".svg", ".lock"}
"""Suffixes and names of files that are drawn again, or of no use after the training."""
_MAXIMUM_PACKED = 2**29
_MAXIMUM = 2**31
"""Bytes that an archive may unpack to: a file that is no archive of ours may claim anything."""


def pack(folder: Path) -> tuple[Path, int]:
    """Put every trial with a result into the folder's archive, and take its files out of the folder.

    What an archive that is there holds stays in it. A trial that is being trained, or has no result, stays where it is.

    Returns the archive, and how many trials were put in. Raises UserError where the folder holds no finished trial, or
    cannot be written.
    """
    sweep = SweepFiles(folder)
    found = sorted(path.parent for path in sweep.trials.glob(f"*/{RESULT}")) if sweep.trials.is_dir() else []
    if not found:
        raise UserError(f"{folder} has no finished trial to pack: give a sweep's folder")
    before = contents(folder)
    with scratch_folder() as scratch:
        whole = SweepFiles(scratch)
        if before is not None:
            shutil.copytree(before.folder, whole.folder, dirs_exist_ok=True)
        for trial in found:
            shutil.rmtree(whole.trials / trial.name, ignore_errors=True)
            shutil.copytree(trial, whole.trials / trial.name, ignore=_left_out)
        # Plans of trials that were packed before may have got other labels since.
        plans = [sweep.plan(trial.name) for trial in sorted(whole.trials.iterdir())]
        for plan in plans:
            _copy_plan(plan, whole)
        with replacing(sweep.archive) as temporary:
            temporary.write_bytes(_archive(whole.folder))
    if contents(folder) is None:
        raise RuntimeError(f"{sweep.archive} was written and is not there")
    for trial in found:
        shutil.rmtree(trial)
    for plan in plans:
        plan.unlink(missing_ok=True)
    for empty in (sweep.trials, sweep.plans):
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()
    return sweep.archive, len(found)


def unpack(folder: Path) -> int:
    """Put the trials of the folder's archive back where they were, and remove it; how many there were.

    A trial or a plan that is in the folder stays as it is. Raises UserError without an archive.
    """
    inside = contents(folder)
    if inside is None:
        raise UserError(f"{folder} has no {ARCHIVE}: nothing is packed there")
    trials = sorted(inside.trials.iterdir())
    for file in _files(inside.folder):
        target = folder / file.relative_to(inside.folder)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    SweepFiles(folder).archive.unlink()
    return len(trials)


def contents(folder: Path) -> SweepFiles | None:
    """A sweep's folder with what the archive of `folder` holds, for reading only; None where it has none.

    Raises UserError for a file that is no such archive.
    """
    archive = SweepFiles(folder).archive
    if not archive.is_file():
        return None
    stat = archive.stat()
    return SweepFiles(_unpacked(archive.absolute(), stat.st_mtime_ns, stat.st_size))


@functools.cache
def _unpacked(archive: Path, _changed: int, _size: int) -> Path:
    try:
        raw = read_bytes(archive, _MAXIMUM_PACKED)
        home = _home() / hashlib.sha256(raw).hexdigest()[:32]
        if home.is_dir():
            return home
        home.parent.mkdir(parents=True, exist_ok=True)
        for left in home.parent.glob("tmp*"):
            if is_abandoned(left):
                shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            whole = Path(scratch) / "whole"
            with tarfile.open(fileobj=io.BytesIO(raw), mode="r:xz") as tar:
                _check_size(tar, archive)
                tar.extractall(whole, filter="data")
            if not SweepFiles(whole).trials.is_dir():
                raise UserError(f"{archive} holds no trials: restore it, or remove it")
            # Another process may have been as quick: then its folder is the same.
            if not home.is_dir():
                whole.rename(home)
        return home
    except (tarfile.TarError, lzma.LZMAError, EOFError):
        raise UserError(f"{archive} is damaged or no archive of trials: restore it, or remove it") from None
    except OSError as error:
        raise UserError(f"{archive} cannot be unpacked ({error.strerror or error}): free some space") from None


def _check_size(tar: tarfile.TarFile, archive: Path) -> None:
    """Stops at the head of the member that is too much, before it is unpacked."""
    total = 0
    for member in tar:
        total += member.size
        if total > _MAXIMUM:
            raise UserError(f"{archive} unpacks to more than 2 GiB: it is no archive of trials")


def _home() -> Path:
    """Where archives are unpacked: beside the other caches."""
    return cache_folder("packed")


def _left_out(folder: str, names: list[str]) -> set[str]:
    del folder
    return {name for name in names if Path(name).suffix in LEFT_OUT or name in LEFT_OUT | {CHECKPOINTS}}


def _copy_plan(plan: Path, whole: SweepFiles) -> None:
    if plan.is_file():
        whole.plans.mkdir(exist_ok=True)
        shutil.copyfile(plan, whole.plans / plan.name)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _archive(folder: Path) -> bytes:
    """The same bytes for the same files: names in order, and neither times nor owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=9) as tar:
        for path in _files(folder):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            content = path.read_bytes()
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()

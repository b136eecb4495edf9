"""The run folder: what is in it and how it is written."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from imctrain.errors import UserError
from imctrain.files import write_json, write_text
from imctrain.settings import Config, dump_toml

PACKAGES = ("imctrain", "numpy", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets")
RESULT_VERSION = "1.0"
LOCK = ".lock"


def new_folder(config: Config, out: Path | None) -> Path:
    """Create the folder of a new run: `out`, or runs/NAME-TIMESTAMP. Raises UserError if it holds a run already."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = out if out is not None else Path("runs") / f"{config.name}-{stamp}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = (folder / "config.toml").exists()
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"run folder {folder} cannot be written ({error.strerror}): choose another with --out"
        ) from None
    if occupied:
        raise UserError(f"run folder {folder} holds a run: continue it with --resume {folder}, or choose another --out")
    return folder


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process, until the context or the process ends.

    Raises UserError if another process holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=0)
    try:
        with lock:
            yield
    except Timeout:
        raise UserError(
            f"run folder {folder} is being trained by another process: wait for it, or stop it first"
        ) from None


def is_claimed(folder: Path) -> bool:
    """Whether a process holds a run's folder."""
    from filelock import FileLock, Timeout

    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True


def write_start(folder: Path, config: Config) -> None:
    """config.toml as resolved and environment.json. The config comes last: with it, a folder is a run."""
    write_json(folder / "environment.json", environment())
    write_text(folder / "config.toml", dump_toml(config))


def environment() -> dict[str, Any]:
    """Versions, devices, git commit of the current folder where there is one, command line."""
    import jax

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "devices": [f"{device.platform}:{device.device_kind}" for device in jax.local_devices()],
        "versions": versions,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

"""What a run is started in: its folder, and the environment that it notes there."""

from __future__ import annotations

import datetime
import itertools
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from imctrain.errors import UserError
from imctrain.files import write_text
from imctrain.records.environment import Environment
from imctrain.records.layout import RunFiles
from imctrain.settings import Config, dump_toml

PACKAGES = ("imctrain", "numpy", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets")


def new_folder(config: Config, out: Path | None) -> Path:
    """Create the folder of a new run: `out`, or runs/NAME-TIMESTAMP. Raises UserError if it holds a run already."""
    folder = Path("runs") if out is None else out
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if out is None:
            folder = _own(folder, f"{config.name}-{datetime.datetime.now():%Y%m%d-%H%M%S}")
        occupied = RunFiles(folder).config.exists()
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


def _own(parent: Path, name: str) -> Path:
    """Make a folder that nobody else has: runs may start in the same second."""
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError


def write_start(folder: Path, config: Config) -> None:
    """config.toml as resolved and environment.json. The config comes last: with it, a folder is a run."""
    files = RunFiles(folder)
    environment().write(files.environment)
    write_text(files.config, dump_toml(config))


def environment() -> Environment:
    """Versions, devices, git commit of the current folder where there is one, command line."""
    import jax

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    return Environment(
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        python=platform.python_version(),
        platform=platform.platform(),
        cpu_count=os.cpu_count(),
        devices=tuple(f"{device.platform}:{device.device_kind}" for device in jax.local_devices()),
        versions=versions,
        git_commit=_git("rev-parse", "HEAD"),
        git_dirty=bool(_git("status", "--porcelain", "--untracked-files=no")),
        command=(Path(sys.argv[0]).name, *sys.argv[1:]),
    )


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

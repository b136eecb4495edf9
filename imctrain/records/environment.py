"""environment.json: what a run was started on."""

from __future__ import annotations

from imctrain.records.base import Kept


class Environment(Kept):
    """Versions, devices and command of a run."""

    started: str
    """ISO 8601, UTC."""
    python: str
    platform: str
    cpu_count: int | None
    devices: tuple[str, ...]
    """PLATFORM:KIND of each."""
    versions: dict[str, str]
    """By package."""
    git_commit: str | None
    """Of the folder that the command was given in; null where there is none."""
    git_dirty: bool
    command: tuple[str, ...]

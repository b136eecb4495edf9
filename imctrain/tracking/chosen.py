"""The callbacks of a run: those that its config names, and those of the caller."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence

from imctrain.errors import UserError
from imctrain.families import member
from imctrain.records.layout import RunFiles
from imctrain.settings import Config
from imctrain.tracking.callback import Callback
from imctrain.tracking.callbacks import Callbacks
from imctrain.tracking.trackers.tensorboard import TensorBoard

TRACKERS = "imctrain.tracking.trackers"


def check_installed(config: Config) -> None:
    """Raises UserError for a tracker whose package is not there, before a run is begun."""
    for name in config.tracking.to:
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"tracking.to has {name!r}, and {name} is not installed: pip install 'imctrain[{name}]', or take it out"
            )


def callbacks_of(
    config: Config, files: RunFiles, given: Sequence[Callback], say: Callable[[str], None], *, trackers: bool = True
) -> Callbacks:
    """Of a run in a folder.

    Args:
        given: by the caller, told last. say: told of callbacks that fail.
        trackers: False for the baseline of a run, which has its TensorBoard events alone.
    """
    members: list[Callback] = [TensorBoard(files.events)] if config.tensorboard else []
    if trackers:
        kept = files.tracking
        members += [member(TRACKERS, name)(config.tracking.project, kept) for name in dict.fromkeys(config.tracking.to)]
        members += given
    return Callbacks(members, say)

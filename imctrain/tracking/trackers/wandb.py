"""Weights & Biases (`pip install 'imctrain[wandb]'`). With WANDB_MODE=offline a run keeps all in its folder."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imctrain.records.result import Result
from imctrain.tracking.callback import Callback, Values
from imctrain.tracking.kept_ids import keep_id, kept_id

if TYPE_CHECKING:
    from imctrain.settings import Config

SECONDS = 30.0
"""That a run waits for the server, and for a login, before it goes on without."""


class Wandb(Callback):
    """A run of the project; a resumed training is the same run.

    Args:
        kept: file that the run's id is kept in.
    """

    def __init__(self, project: str, kept: Path):
        self._project = project
        self._kept = kept
        self._run: Any = None

    def on_start(self, config: Config, folder: Path, step: int) -> None:
        import wandb

        identity = kept_id(self._kept, "wandb") or uuid.uuid4().hex[:12]
        keep_id(self._kept, "wandb", identity)
        # Its capture of the terminal would break the live line.
        settings = wandb.Settings(console="off", silent=True, init_timeout=SECONDS, login_timeout=SECONDS)
        self._run = wandb.init(
            project=self._project,
            id=identity,
            resume="allow",
            name=folder.absolute().name,
            dir=str(folder),
            config=config.model_dump(mode="json"),
            settings=settings,
        )

    def on_log(self, step: int, values: Values, sites: Values) -> None:
        told = {f"train/{key}": value for key, value in values.items()}
        self._run.log(told | {f"sites/{key}": value for key, value in sites.items()}, step=step)

    def on_epoch(self, epoch: int, step: int, values: Values) -> None:
        self._run.log({"epoch": epoch} | {f"epoch/{key}": value for key, value in values.items()}, step=step)

    def on_end(self, result: Result) -> None:
        numbers = {key: value for key, value in result.plain().items() if isinstance(value, int | float | str)}
        self._run.summary.update(numbers)
        self._run.finish()

    def on_stop(self, error: BaseException) -> None:
        if self._run is not None:
            self._run.finish(exit_code=1)


MEMBER = Wandb

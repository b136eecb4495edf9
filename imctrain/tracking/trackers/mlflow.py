"""MLflow (`pip install 'imctrain[mlflow]'`), where MLFLOW_TRACKING_URI says: a server, or files of its own."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imctrain.records.result import Result
from imctrain.tracking.callback import Callback, Values
from imctrain.tracking.kept_ids import keep_id, kept_id

if TYPE_CHECKING:
    from imctrain.settings import Config

PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""Of calls to a server, unless the environment says otherwise: its own would hold a training up for minutes."""
BATCH = 100
"""Parameters in one call, as MLflow allows."""
LONGEST = 500
"""Characters of a parameter's value."""


class Mlflow(Callback):
    """A run of the experiment; a resumed training is the same run.

    Args:
        kept: file that the run's id is kept in.
    """

    def __init__(self, project: str, kept: Path):
        self._project = project
        self._kept = kept
        self._client: Any = None
        self._run = ""

    def on_start(self, config: Config, folder: Path, step: int) -> None:
        for key, value in PATIENCE.items():
            os.environ.setdefault(key, value)
        from mlflow import MlflowClient
        from mlflow.entities import Param

        client = MlflowClient()
        known = kept_id(self._kept, "mlflow")
        if known is not None:
            client.update_run(known, status="RUNNING")
            self._client, self._run = client, known
            return
        experiment = client.get_experiment_by_name(self._project)
        where = client.create_experiment(self._project) if experiment is None else experiment.experiment_id
        run = client.create_run(where, run_name=folder.absolute().name).info.run_id
        keep_id(self._kept, "mlflow", run)
        self._client, self._run = client, run
        settings = [Param(key, str(value)[:LONGEST]) for key, value in _dotted(config.model_dump(mode="json"))]
        for start in range(0, len(settings), BATCH):
            client.log_batch(run, params=settings[start : start + BATCH])

    def on_log(self, step: int, values: Values, sites: Values) -> None:
        self._log("train", step, values)
        self._log("sites", step, sites)

    def on_epoch(self, epoch: int, step: int, values: Values) -> None:
        self._log("epoch", step, values)

    def on_end(self, result: Result) -> None:
        numbers = {key: float(x) for key, x in result.plain().items() if isinstance(x, int | float)}
        self._log("result", result.steps or 0, numbers)
        self._client.set_terminated(self._run, "FINISHED")

    def on_stop(self, error: BaseException) -> None:
        if self._client is not None:
            # KILLED can go on: an interrupted training is saved.
            interrupted = type(error).__name__ in ("Interrupted", "KeyboardInterrupt")
            self._client.set_terminated(self._run, "KILLED" if interrupted else "FAILED")

    def _log(self, kind: str, step: int, values: Values) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(f"{kind}/{_allowed(key)}", value, now, step) for key, value in values.items()]
        for start in range(0, len(metrics), 1000):
            self._client.log_batch(self._run, metrics=metrics[start : start + 1000])


def _allowed(name: str) -> str:
    """A name of a metric, which may have letters, digits and _-. / alone."""
    return re.sub(r"[^\w\-. /]", "_", name.replace(":", "/"))


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


MEMBER = Mlflow

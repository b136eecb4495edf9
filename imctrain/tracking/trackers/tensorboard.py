"""TensorBoard events, where tensorboardX is installed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imctrain.records.result import Result
from imctrain.tracking.callback import Callback, Values

if TYPE_CHECKING:
    from imctrain.settings import Config


class TensorBoard(Callback):
    """Scalars of a run as events in a folder; nothing without tensorboardX.

    Written at once, not by tensorboardX's thread: on a full disk that thread would die with a traceback and leave
    training waiting for it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._writer: Any = None

    def on_start(self, config: Config, folder: Path, step: int) -> None:
        """What an earlier process logged after `step` is hidden."""
        try:
            from tensorboardX import summary
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog
        except ImportError:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._writer, self._summary, self._event = EventsWriter(str(self._folder / "events")), summary, Event
        start = SessionLog(status=SessionLog.START)
        self._writer.write_event(Event(wall_time=time.time(), step=step + 1, session_log=start))

    def on_log(self, step: int, values: Values, sites: Values) -> None:
        self._write("train", step, values)

    def on_epoch(self, epoch: int, step: int, values: Values) -> None:
        self._write("epoch", step, values)

    def on_end(self, result: Result) -> None:
        self._close()

    def on_stop(self, error: BaseException) -> None:
        self._close()

    def _write(self, kind: str, step: int, values: Values) -> None:
        if self._writer is None:
            return
        now = time.time()
        for tag, value in values.items():
            entry = self._summary.scalar(f"{kind}/{tag}", value)
            self._writer.write_event(self._event(wall_time=now, step=step, summary=entry))
        self._writer.flush()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()

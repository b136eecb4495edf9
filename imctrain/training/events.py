"""TensorBoard events, where tensorboardX is installed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


class Events:
    """Scalars of a run as TensorBoard events.

    Written at once by the caller, not by tensorboardX's thread: on a full disk that thread would die with a traceback
    and leave training waiting for it.
    """

    def __init__(self, writer: Any, summary: Any, event: Any):
        self._writer = writer
        self._summary = summary
        self._event = event

    @classmethod
    def open(cls, folder: Path, step: int) -> Events | None:
        """Events in `folder`, or None without tensorboardX; what an earlier process logged after `step` is hidden."""
        try:
            from tensorboardX import summary
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog
        except ImportError:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        events = cls(EventsWriter(str(folder / "events")), summary, Event)
        start = SessionLog(status=SessionLog.START)
        events._writer.write_event(Event(wall_time=time.time(), step=step + 1, session_log=start))
        return events

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Values by tag, after `step` steps."""
        now = time.time()
        for tag, value in values.items():
            entry = self._summary.scalar(tag, value)
            self._writer.write_event(self._event(wall_time=now, step=step, summary=entry))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

"""Callbacks together: each is told, and none can stop the training or the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.tracking.callback import Callback, Values

if TYPE_CHECKING:
    from imctrain.records.result import Result
    from imctrain.settings import Config


class Callbacks:
    """Passes on what happens to each callback in its order.

    Args:
        say: told, in one line, of a callback that failed; it is told no more.
    """

    def __init__(self, members: Iterable[Callback] = (), say: Callable[[str], None] = lambda text: None):
        self._members = list(members)
        self._say = say

    def start(self, config: Config, folder: Path, step: int) -> None:
        self._tell(lambda callback: callback.on_start(config, folder, step))

    def line(self, record: Mapping[str, object]) -> None:
        """A line of metrics.jsonl: "kind", "step", "epoch", values, and those of sites."""
        values, step = _finite(record), int(str(record["step"]))
        if record["kind"] == "epoch":
            epoch = int(str(record["epoch"]))
            self._tell(lambda callback: callback.on_epoch(epoch, step, values))
        else:
            sites = record.get("sites")
            found = _finite(sites) if isinstance(sites, Mapping) else {}
            self._tell(lambda callback: callback.on_log(step, values, found))

    def end(self, result: Result) -> None:
        self._tell(lambda callback: callback.on_end(result))

    def stop(self, error: BaseException) -> None:
        self._tell(lambda callback: callback.on_stop(error))

    def _tell(self, what: Callable[[Callback], None]) -> None:
        for callback in list(self._members):
            try:
                what(callback)
            # What trackers raise without a network, a login or a disk is theirs to choose, SystemExit included.
            except (Exception, SystemExit) as error:
                self._members.remove(callback)
                name, text = type(callback).__name__, " ".join(str(error).split())[:160]
                self._say(
                    f"warning: {name} failed and is told no more ({type(error).__name__}: {text}); training goes on"
                )


def _finite(values: Mapping[str, object]) -> Values:
    return {key: x for key, x in values.items() if isinstance(x, float) and math.isfinite(x)}

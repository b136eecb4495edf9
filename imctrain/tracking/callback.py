"""The interface of whoever wants to be told how a training goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imctrain.records.result import Result
    from imctrain.settings import Config

Values = Mapping[str, float]


class Callback:
    """Told how a training goes, between its steps and on the host; subclasses override what they want to hear.

    All numbers are plain floats that the run fetches for its own metrics.jsonl: a callback compiles nothing and waits
    for no device. Those that are not finite are left out. An exception in a callback does not end the training: it is
    told in one line, and the callback hears nothing more.

    Example:
        >>> class Beep(imctrain.Callback):
        ...     def on_end(self, result):
        ...         print(f"\\a{result.test_accuracy:.1%}")
        >>> imctrain.train(config, callbacks=[Beep()])
    """

    def on_start(self, config: Config, folder: Path, step: int) -> None:
        """Before the first step of this process.

        Args:
            config: as resolved. folder: of the run. step: steps that were taken before, 0 in a run that is new.
        """

    def on_log(self, step: int, values: Values, sites: Values) -> None:
        """Every `training.log_every` steps.

        Args:
            step: steps taken in all.
            values: loss and accuracy since the last line, gradient_norm, images_per_second, clipped (fraction of
                conversions), worst_snr_db; each where it is known.
            sites: "SITE:QUANTITY" of every site on the array, such as "stem:snr_db_forward"; empty in float training.
        """

    def on_epoch(self, epoch: int, step: int, values: Values) -> None:
        """At the end of an epoch, which count from 1.

        Args:
            values: loss, accuracy, seconds; test_accuracy and test_loss (or validation_...) where it was evaluated.
        """

    def on_end(self, result: Result) -> None:
        """The training has ended, and result.json is written."""

    def on_stop(self, error: BaseException) -> None:
        """The training stopped before its end: interrupted (it can be resumed), diverged, or an error."""

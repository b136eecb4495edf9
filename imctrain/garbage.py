"""How often a process that is imctrain's own looks for garbage."""

from __future__ import annotations

import gc


def collect_less_often() -> None:
    """For a command, or a trial's process.

    It makes millions of objects that live to its end, JAX's programs above all. By Python's own thresholds the garbage
    collector looks through them again and again, for about a tenth of the time until the first step.
    """
    gc.set_threshold(10_000, 10, 10)

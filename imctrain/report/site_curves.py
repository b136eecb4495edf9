"""SNR and clipping of every site over a run, from its metrics."""

from __future__ import annotations

import math
from pathlib import Path

from imctrain.records.layout import RunFiles
from imctrain.records.metrics import read_lines, train_lines

MVMS = {"forward": "forward", "input_grad": "input gradient", "weight_grad": "weight gradient"}
FLOOR = 1e-6
"""Clipped fractions below this are drawn at it: the axis is logarithmic."""


def site_series(folder: Path) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """{quantity: {site: (steps, values)}} of a run's metrics; quantities such as "snr_db_forward"."""
    series: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for line in train_lines(read_lines(RunFiles(folder).metrics)):
        for key, value in line.sites.items():
            site, _, quantity = key.rpartition(":")
            steps, values = series.setdefault(quantity, {}).setdefault(site, ([], []))
            steps.append(line.step)
            values.append(math.nan if value is None else value)
    return series

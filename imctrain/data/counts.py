"""Images of every class in every split, as a table."""

from __future__ import annotations

import numpy as np

from imctrain.data.dataset import Dataset
from imctrain.data.reading.names import shown

MOST = 20
"""Classes that are listed one by one."""


def counts_table(dataset: Dataset) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows: a class a row; of many classes the fewest, the median and the most images of a class."""
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    counts = {
        name: np.bincount(split.labels, minlength=len(dataset.classes))
        for name, split in splits.items()
        if split is not None
    }
    header = ("class", *counts)
    if len(dataset.classes) <= MOST:
        rows = [
            (shown(name), *(str(found[label]) for found in counts.values()))
            for label, name in enumerate(dataset.classes)
        ]
        return header, rows
    ends = {"fewest of a class": 0.0, "median": 0.5, "most": 1.0}
    return header, [
        (what, *(f"{np.quantile(found, share):g}" for found in counts.values())) for what, share in ends.items()
    ]

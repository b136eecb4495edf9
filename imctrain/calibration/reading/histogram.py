"""Conversions reduced to counts of codes, so that a fit needs no more memory for fifty million rows than for two.

A setting is what stays the same for a group of conversions: die, column, reference range, temperature and supply.
Within a setting, inputs are sorted into bins a fraction of an LSB wide; a cell counts the conversions of one code in
one bin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.reading.order import Ordered


@dataclass(frozen=True)
class Histogram:
    """Counts of codes. Cells are sorted by bin, bins by setting.

    Attributes:
        die: name of each setting's die, [S]. column: [S]. range: R, [S]. temperature, supply: degree Celsius and volt,
            [S], or None where the file does not have them.
        setting: of each bin, [G]. u: mean input of each bin in nominal codes, v * codes_per_v / R, [G].
        first_cell: index of each bin's first cell, [G].
        code: of each cell, [C]. count: conversions in each cell, [C].
        input_variance: mean variance of u within bins, nominal codes squared.
        share: of the conversions that were read, those counted; below 1 where not all fitted into memory.
        order: some of them in the order in which they were made.
    """

    die: NDArray[np.str_]
    column: Ints
    range: Floats
    temperature: Floats | None
    supply: Floats | None
    setting: Ints
    u: Floats
    first_cell: Ints
    code: Ints
    count: Floats
    input_variance: float
    share: float = 1.0
    order: Ordered | None = None

    @property
    def rows(self) -> int:
        """Conversions in all cells."""
        return int(self.count.sum())

    @property
    def bin_of_cell(self) -> Ints:
        """Index of the bin of each cell, [C]."""
        return np.repeat(np.arange(self.u.size), np.diff(np.append(self.first_cell, self.code.size)))

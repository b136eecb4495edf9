"""What an MVM is made of and how large it is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from imctrain.imc.chip.adc import Converter
from imctrain.imc.chip.figures import Chip
from imctrain.imc.chip.random_numbers import Seed
from imctrain.imc.coding.passes import Mapping
from imctrain.imc.coding.planes import PlaneCoding
from imctrain.imc.mvm.tiling import RowTiles, copies, effective_rows
from imctrain.settings import Hardware


@dataclass(frozen=True)
class MvmShape:
    """What an MVM is made of and how large it is: G independent products [M, K] x [K, N].

    Attributes:
        name: "forward", "input_grad" or "weight_grad".
        groups: G. For a grouped convolution the groups' operands sit on different columns; for a batched matmul the
            batch's operands are written to the same columns in turn (`shared_columns`).
        vectors: M, input vectors driven for each group.
        contraction: K. outputs: N.
        signed: whether input codes can be negative.
        samples: how often it is done, for the mean.
        mapping: passes of the input operand. coding: planes of the stored operand.
        tiles: row tiles of K. converter: the column ADC.
        chip: whose figures count (`MvmPlan.on`); None for those of the hardware.
        slow_seed: of the noise that repeats of the MVM share; None where it is not repeated.
    """

    name: str
    site_index: int
    groups: int
    vectors: int
    contraction: int
    outputs: int
    shared_columns: bool
    signed: bool
    samples: int
    mapping: Mapping
    coding: PlaneCoding
    tiles: RowTiles
    converter: Converter
    hardware: Hardware
    chip: Chip | None = field(default=None, compare=False)
    slow_seed: Seed | None = field(default=None, compare=False)

    @property
    def passes(self) -> int:
        return self.mapping.passes

    @property
    def is_digital(self) -> bool:
        """Whether the MVM is computed digitally from the formats' codes, without the array."""
        return self.hardware.path == "digital" or self.name not in self.hardware.mvms

    @property
    def planes(self) -> int:
        return self.coding.count

    @property
    def full_scales(self) -> np.ndarray:
        """The dot product at full scale of each tile, rows * L, float32 [T]."""
        array = self.hardware.array
        rows = [effective_rows(used, array) for used in self.tiles.rows_used]
        return np.asarray([r * array.levels for r in rows], np.float32)

    @property
    def copies(self) -> tuple[int, ...]:
        """How often each tile's operand is written."""
        return tuple(copies(used, self.hardware.array) for used in self.tiles.rows_used)

    @property
    def columns(self) -> int:
        """Physical columns that one row tile takes."""
        return self.planes * self.outputs * (1 if self.shared_columns else self.groups)

    @property
    def conversions(self) -> int:
        """ADC conversions of one execution: T * P * G * M * J * N for each sample."""
        once = self.tiles.count * self.passes * self.groups * self.vectors * self.planes * self.outputs
        return self.samples * once

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the ideal product: G * M * K * N."""
        return self.groups * self.vectors * self.contraction * self.outputs

    @property
    def utilisation(self) -> float:
        """Share of the cells of the macros taken that hold an operand (copies included)."""
        array = self.hardware.array
        blocks = -(-self.columns // array.usable_columns)
        used = sum(rows * n for rows, n in zip(self.tiles.rows_used, self.copies, strict=True)) * self.columns
        return used / (self.tiles.count * blocks * array.rows * array.columns)

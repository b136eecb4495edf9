"""What one MVM of a step does, in numbers: conversions, row drives, additions, bits written and moved.

With T tiles, P passes, J planes, M vectors, N outputs, G groups, s samples, K_t rows of tile t and C_t copies of them:

    conversions      s T P G M J N
    cells            the conversions of each tile times the rows that share charge on its columns
    row drives       s G M sum_t (K_t C_t) ceil(J N / columns) times the passes whose code is not 0
    plane adds       s T P G M J N             a shift-add of a code into the sum over planes
    gain multiplies  s T P G M J N             by 1/gain of a column (`adc.gain_conversions`)
    pass multiplies  s T P G M N               by c_p, into the sum over passes
    sum adds         (s T - 1) G M N           of tiles and of samples
    outputs          G M N                     scale, accumulate, requantise
    row sums         G M K                     where the stored operand has a centre (`kernels.centring`)
    column sums      G K N                     where the driven one has
    written bits     G J N sum_t (K_t C_t)     once a step
    moved bits       each code once from a buffer to the array, each word of each tile back

A line buffer beside the array gives an element to all vectors that hold it: what moves is the operand, not its patches
(this project's decision). Operands of a batched matmul use the same columns in turn; those of a grouped convolution lie
side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import jax.numpy as jnp
import numpy as np

from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.tiling import sharing_rows

WORD_BITS = 16
"""Of an output between the array and its next encoding (this project's decision)."""


@dataclass(frozen=True)
class Traffic:
    """Operands of an MVM as they lie in buffers.

    Attributes:
        driven, stored, outputs: elements of each. driven_bits, stored_bits: of an element.
        kept: whether the driven operand is kept in the buffer for the weight gradient.
    """

    driven: int
    stored: int
    outputs: int
    driven_bits: int
    stored_bits: int
    kept: bool

    def moved_bits(self, tiles: int = 1, word_bits: int = WORD_BITS) -> int:
        """From buffer to array and back; what is kept is written once more."""
        codes = self.driven * self.driven_bits * (2 if self.kept else 1) + self.stored * self.stored_bits
        return codes + self.outputs * tiles * word_bits


@dataclass(frozen=True)
class Events:
    """See the module; numbers of a step. digital_macs: of an MVM that is computed digitally, which has no other
    events but what it moves."""

    conversions: float = 0.0
    cells: float = 0.0
    row_drives: float = 0.0
    plane_adds: float = 0.0
    gain_multiplies: float = 0.0
    pass_multiplies: float = 0.0
    sum_adds: float = 0.0
    outputs: float = 0.0
    row_sums: float = 0.0
    column_sums: float = 0.0
    written_bits: float = 0.0
    moved_bits: float = 0.0
    digital_macs: float = 0.0

    def __add__(self, other: Events) -> Events:
        return Events(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def times(self, count: float) -> Events:
        """Of so many executions."""
        return Events(**{f.name: getattr(self, f.name) * count for f in fields(self)})


@dataclass(frozen=True)
class Drive:
    """What is driven onto the rows.

    Attributes:
        passes: passes of an element whose code is not 0, its mean; P where rows are driven around a centre.
        swing: mean of |code| / L over elements and passes.
    """

    passes: float
    swing: float


def drive_of(plan: MvmPlan, values: np.ndarray, shares: np.ndarray) -> Drive:
    """Of an operand with a distribution of codes.

    Args:
        values: integer codes or radix-4 levels, [n]. shares: how often each occurs, [n], in all 1.
    """
    codes = np.asarray(plan.mapping.drive(jnp.asarray(values, jnp.float32)))
    swing = float(np.sum(np.abs(codes) * shares) / plan.hardware.array.levels / plan.passes)
    driven = float(plan.passes) if plan.mapping.centre else float(np.sum((codes != 0) * shares))
    return Drive(driven, swing)


def events_of(plan: MvmPlan, traffic: Traffic, drive: Drive) -> Events:
    """Of one execution of an MVM."""
    lines = plan.groups * plan.vectors
    products = lines * plan.outputs
    if plan.is_digital:
        return Events(digital_macs=plan.macs, moved_bits=traffic.moved_bits(), outputs=products)
    array, samples, tiles = plan.hardware.array, plan.samples, plan.tiles.count
    readings = samples * plan.passes * products
    rows = [used * copies for used, copies in zip(plan.tiles.rows_used, plan.copies, strict=True)]
    sharing = sum(sharing_rows(used, array) for used in plan.tiles.rows_used)
    return Events(
        conversions=plan.conversions,
        cells=readings * plan.planes * sharing,
        row_drives=samples * lines * sum(rows) * blocks(plan) * drive.passes,
        plane_adds=plan.conversions,
        gain_multiplies=plan.conversions if plan.hardware.adc.gain_conversions else 0,
        pass_multiplies=readings * tiles,
        sum_adds=(samples * tiles - 1) * products,
        outputs=products,
        row_sums=lines * plan.contraction if plan.coding.centre else 0,
        column_sums=plan.groups * plan.contraction * plan.outputs if plan.mapping.centre else 0,
        written_bits=plan.groups * plan.planes * plan.outputs * sum(rows),
        moved_bits=traffic.moved_bits(tiles),
    )


def blocks(plan: MvmPlan) -> int:
    """Macros side by side that the columns of one group take: ceil(J N / columns), spare ones left out."""
    return -(-plan.planes * plan.outputs // plan.hardware.array.usable_columns)


def passes_are_shifts(plan: MvmPlan) -> bool:
    """Whether the coefficients of the passes are powers of two of each other: then a shift multiplies by them."""
    logs = [math.log2(abs(c / plan.mapping.coefficients[0])) for c in plan.mapping.coefficients]
    return all(abs(value - round(value)) < 1e-9 for value in logs)

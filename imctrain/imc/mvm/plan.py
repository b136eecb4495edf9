"""The plan of one MVM of one site: everything static about how it runs on the array."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from imctrain.formats import Format, IntegerFormat
from imctrain.imc.chip.adc import Converter, converter
from imctrain.imc.chip.columns import column_errors, column_noise, macros_of
from imctrain.imc.chip.figures import Chip
from imctrain.imc.chip.gain_readings import column_multipliers
from imctrain.imc.chip.ranges import range_policy
from imctrain.imc.coding.integer_passes import integer_mapping
from imctrain.imc.coding.passes import Mapping, gradient_mapping
from imctrain.imc.coding.planes import PlaneCoding
from imctrain.imc.mvm.tiling import RowTiles, copies, cut, effective_rows
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
        chip: whose figures count (`on`); None for those of the hardware.
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


@dataclass(frozen=True)
class MvmPlan(MvmShape):
    """One of a site's three MVMs, with what its converters and columns do to it."""

    def on(self, chip: Chip) -> MvmPlan:
        """The plan with a chip's figures, which may be traced, in place of those of its hardware."""
        knots = self.converter.inl[0]
        inl = (knots, chip.inl) if knots and chip.inl is not None else ((), ())
        live = replace(self.converter, sigma_array=chip.sigma_array, sigma_adc=chip.sigma_adc, inl=inl)
        return replace(self, converter=live, chip=chip)

    @property
    def snaps(self) -> Literal["always", "never", "depends"]:
        """Whether readings are rounded to the integers they must be (`Converter.resolves`), over the ranges that the
        policy may choose."""
        if not self.converter.integers:
            return "never"
        lsb = self.converter.lsb_at_full_range
        steps = [float(scale) * lsb * r for scale in self.full_scales for r in self.possible_ranges]
        resolved = [step <= 1.0 + 1e-6 for step in steps]
        return "always" if all(resolved) else "depends" if any(resolved) else "never"

    @property
    def possible_ranges(self) -> tuple[float, ...]:
        """Every R that a pass may have, largest first."""
        return range_policy(self.hardware.adc).possible(self.hardware.adc)

    def output_noise_power(self, ranges: Float[Array, " passes"]) -> Float[Array, ""]:
        """Variance of one sample of the product around the ideal one, the mean over outputs:
        sum over t, p, j of (c_p beta_j full_scale_t)^2 var(v).

        Args:
            ranges: R of each pass, [P].
        """
        each = self.output_noise_powers(ranges)
        if each is not None:
            return jnp.mean(each)
        coefficients = jnp.asarray(self.mapping.coefficients, jnp.float32)
        planes = sum(beta * beta for beta in self.coding.weights)
        scales, counts = np.unique(self.full_scales, return_counts=True)
        tiles = [
            float(count * np.float64(scale) ** 2) * self.converter.noise_power(ranges, float(scale))
            for scale, count in zip(scales, counts, strict=True)
        ]
        return planes * jnp.sum(jnp.square(coefficients) * sum(tiles))

    def output_noise_powers(self, ranges: Float[Array, " passes"]) -> Float[Array, "groups outputs"] | None:
        """The same of every output, [G or 1, N]; None where all columns are alike.

        Args:
            ranges: R of each pass, [P].
        """
        relative, multiplier = self.column_noise(), self.column_multipliers()
        if relative is None and multiplier is None:
            return None
        shape = (self.tiles.count, 1, 1 if self.shared_columns else self.groups, self.planes, self.outputs)
        scales = jnp.asarray(self.full_scales).reshape(-1, 1, 1, 1, 1)
        times = None if multiplier is None else jnp.asarray(multiplier).reshape(shape)
        of_chip = 1.0 if relative is None else jnp.asarray(relative).reshape(shape)
        power = self.converter.noise_power(ranges.reshape(-1, 1, 1, 1), scales, of_chip, times)
        coefficients = jnp.asarray(self.mapping.coefficients, jnp.float32).reshape(-1, 1, 1, 1)
        beta = jnp.asarray(self.coding.weights, jnp.float32).reshape(-1, 1)
        return jnp.sum(jnp.square(coefficients * beta * scales) * power, axis=(0, 1, 3))

    def mean_noise_power(self, ranges: Float[Array, " passes"]) -> Float[Array, ""]:
        """Variance of the mean over samples, see `output_noise_power`."""
        return self.output_noise_power(ranges) / self.samples

    def column_noise(self) -> Any:
        """Noise of each tile's columns relative to the chip's, [T, columns]; None where all are alike. An array of
        numpy, or of JAX where the chip is given."""
        where = self.site_index, self.name, self.tiles.count, self.columns, self.hardware
        if self.chip is None:
            return column_noise(*where)
        if self.chip.noise is None:
            return None
        macros = macros_of(*where)
        return self.chip.noise[macros].reshape(len(macros), -1)[:, : self.columns]

    def column_multipliers(self) -> Any:
        """What the digital side multiplies readings of each tile's columns by, [T, columns]; None where gains are not
        calibrated. An array of numpy, or of JAX where the chip is given."""
        where = self.site_index, self.name, self.tiles.count, self.columns, self.hardware
        if self.chip is None:
            return column_multipliers(*where)
        if self.chip.multiplier is None:
            return None
        macros = macros_of(*where)
        return self.chip.multiplier[macros].reshape(len(macros), -1)[:, : self.columns]

    def pattern(self) -> tuple[Any, ...] | None:
        """gain, offset, correction, noise and multiplier of each tile's columns, [T, columns], each None where it does
        not differ; None where none does."""
        found = (*(self.column_errors() or (None, None, None)), self.column_noise(), self.column_multipliers())
        return None if all(part is None for part in found) else found

    def column_errors(self) -> tuple[Any, Any, Any] | None:
        """gain, offset and digital correction (fractions of full scale) of each tile's columns, [T, columns]; None
        without mismatch. Arrays of numpy, or of JAX where the chip is given."""
        if self.chip is None:
            return column_errors(self.site_index, self.name, self.tiles.count, self.columns, self.hardware)
        found = self.chip.gain, self.chip.offset, self.chip.correction
        parts = [part for part in found if part is not None]
        if not parts:
            return None
        macros = macros_of(self.site_index, self.name, self.tiles.count, self.columns, self.hardware)
        gain, offset, correction = (part[macros].reshape(len(macros), -1)[:, : self.columns] for part in parts)
        return gain, offset, correction


@functools.cache
def plan_mvm(
    name: str,
    *,
    site_index: int,
    groups: int,
    vectors: int,
    contraction: int,
    outputs: int,
    unit: int,
    shared_columns: bool,
    input_format: Format,
    stored_format: IntegerFormat,
    hardware: Hardware,
) -> MvmPlan:
    """Plan one MVM.

    Args:
        unit: rows that a tile must keep together (kernel positions of a convolution that stays one), 1 otherwise.
        input_format, stored_format: of the operand that is driven and of the one that cells hold.
    """
    coding = PlaneCoding(hardware.array.cell, stored_format, hardware.mapping.planes)
    if isinstance(input_format, IntegerFormat):
        mapping = integer_mapping(hardware.mapping, hardware.array, input_format)
    else:
        mapping = gradient_mapping(hardware.mapping, hardware.array)
    non_negative = mapping.non_negative(input_format.lowest) and hardware.array.cell == "and"
    return MvmPlan(
        name=name,
        site_index=site_index,
        groups=groups,
        vectors=vectors,
        contraction=contraction,
        outputs=outputs,
        shared_columns=shared_columns,
        signed=input_format.signed,
        samples=hardware.mapping.gradient_samples if name != "forward" else 1,
        mapping=mapping,
        coding=coding,
        tiles=cut(contraction // unit, hardware.array, unit),
        converter=converter(hardware, non_negative=non_negative),
        hardware=hardware,
    )

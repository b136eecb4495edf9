"""What the physical columns that an MVM lands on differ by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from jax import Array

from imctrain.imc.chip.columns import column_curves, column_errors, column_noise, macros_of
from imctrain.imc.chip.gain_readings import column_multipliers
from imctrain.imc.mvm.shape import MvmShape


class Pattern(NamedTuple):
    """What columns differ by; each [T, columns] (or in another layout), None where it does not differ.

    Attributes:
        gain: 1 nominal. offset, correction: fractions of full scale. noise: relative to the chip's.
        multiplier: of the readings, where gains are calibrated.
        curves: of each shape, fractions of full scale (`chip.curves`).
    """

    gain: Any = None
    offset: Any = None
    correction: Any = None
    noise: Any = None
    multiplier: Any = None
    curves: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class MvmColumns(MvmShape):
    """An MVM on its columns."""

    def column_noise(self) -> Any:
        """Noise of each tile's columns relative to the chip's, [T, columns]; None where all are alike. An array of
        numpy, or of JAX where the chip is given."""
        where = self.site_index, self.name, self.tiles.count, self.columns, self.hardware
        if self.chip is None:
            return column_noise(*where)
        if self.chip.noise is None:
            return None
        return self._on_columns([self.chip.noise])[0]

    def column_multipliers(self) -> Any:
        """What the digital side multiplies readings of each tile's columns by, [T, columns]; None where gains are not
        calibrated. An array of numpy, or of JAX where the chip is given."""
        if self.chip is None:
            return column_multipliers(self.site_index, self.name, self.tiles.count, self.columns, self.hardware)
        if self.chip.multiplier is None:
            return None
        return self._on_columns([self.chip.multiplier])[0]

    def column_curves(self) -> tuple[Any, ...] | None:
        """What the INL of each tile's columns deviates from that of all, of each shape, fractions of full scale, [T,
        columns]; None where it does not. Arrays of numpy, or of JAX where the chip is given."""
        if self.chip is None:
            return column_curves(self.site_index, self.name, self.tiles.count, self.columns, self.hardware)
        if self.chip.curves is None:
            return None
        return tuple(self._on_columns(self.chip.curves))

    def pattern(self) -> Pattern | None:
        """What each tile's columns differ by; None where they do not."""
        gain, offset, correction = self.column_errors() or (None, None, None)
        noise, multiplier, curves = self.column_noise(), self.column_multipliers(), self.column_curves()
        found = Pattern(gain, offset, correction, noise, multiplier, curves)
        return None if all(part is None for part in found) else found

    def _on_columns(self, figures: Iterable[Array]) -> list[Array]:
        """Figures of every physical column, [macros, columns], on those of each tile, [T, columns]."""
        macros = macros_of(self.site_index, self.name, self.tiles.count, self.columns, self.hardware)
        return [figure[macros].reshape(len(macros), -1)[:, : self.columns] for figure in figures]

    def column_errors(self) -> tuple[Any, Any, Any] | None:
        """gain, offset and digital correction (fractions of full scale) of each tile's columns, [T, columns]; None
        without mismatch. Arrays of numpy, or of JAX where the chip is given."""
        if self.chip is None:
            return column_errors(self.site_index, self.name, self.tiles.count, self.columns, self.hardware)
        found = self.chip.gain, self.chip.offset, self.chip.correction
        parts = [part for part in found if part is not None]
        if not parts:
            return None
        gain, offset, correction = self._on_columns(parts)
        return gain, offset, correction

"""Noise and mismatch of a chip, and what a config or a rule makes of them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from imctrain import limits
from imctrain.imc.requirements import require, require_within


@dataclass(frozen=True)
class ColumnError:
    """Fixed pattern of one measured column: gain (1 = nominal) and offset in LSB at R = 1."""

    column: int
    gain: float = 1.0
    offset_lsb: float = 0.0


@dataclass(frozen=True)
class NoiseSpec:
    """Noise and mismatch, as a calibration gives them, and what is made of it.

    What a site is simulated with are the properties: they follow `sigma_lsb`, `scale` and `mismatch`.

    Attributes:
        sigma_array_lsb: noise voltage present before the converter's range, in LSB at R = 1 of the calibrated
            converter. It is a voltage: it does not shrink with R.
        sigma_adc_lsb: noise of the converter itself, in its own LSB: it shrinks with R.
        reference_bits, reference_polarity: the converter the figures above were calibrated on.
        scale: multiplies both sigmas (for sweeps).
        columns: measured columns; those that were not measured are drawn around `gain_mean` and `offset_mean_lsb`
            with standard deviations `gain_std` and `offset_std_lsb`.
        inl_v, inl_lsb: integral non-linearity: knots in v (fraction of full scale) and values in LSB at R = 1,
            linear between knots and constant outside; empty for none.
        gain_mean, offset_mean_lsb: of the measured chip's columns; nominal by default.
        sigma_lsb: total noise in place of the two sigmas' own, which then only say how it is split; `scale` still
            multiplies it. None for their own.
        mismatch: False leaves gain, offset and INL out: measured columns, mean and spread.
    """

    sigma_array_lsb: float = 0.0
    sigma_adc_lsb: float = 0.0
    reference_bits: int = 8
    reference_polarity: Literal["bipolar", "unipolar"] = "bipolar"
    scale: float = 1.0
    columns: tuple[ColumnError, ...] = ()
    gain_std: float = 0.0
    offset_std_lsb: float = 0.0
    inl_v: tuple[float, ...] = ()
    inl_lsb: tuple[float, ...] = ()
    gain_mean: float = 1.0
    offset_mean_lsb: float = 0.0
    sigma_lsb: float | None = None
    mismatch: bool = True

    def __post_init__(self) -> None:
        bits, polarity = self.reference_bits, self.reference_polarity
        require(2 <= bits <= 24, "noise.reference_bits", bits, "2 to 24")
        require(polarity in ("bipolar", "unipolar"), "noise.reference_polarity", polarity, "'bipolar' or 'unipolar'")
        require_within(limits.NOISE_SCALE, "noise.scale", self.scale)
        for name in ("sigma_array_lsb", "sigma_adc_lsb", "sigma_lsb"):
            if getattr(self, name) is not None:
                require_within(limits.noise_lsb(bits), f"noise.{name}", getattr(self, name))
        require(
            limits.noise_lsb(bits).hold(self.total_lsb),
            "noise.scale",
            self.scale,
            f"noise of at most {2**bits} LSB, all codes of the calibrated converter; this makes {self.total_lsb:g}",
        )
        require_within(limits.MEAN_GAIN, "noise.gain_mean", self.gain_mean)
        require_within(limits.GAIN_STD, "noise.gain_std", self.gain_std)
        require_within(limits.offset_lsb(bits), "noise.offset_mean_lsb", self.offset_mean_lsb)
        require_within(limits.offset_std_lsb(bits), "noise.offset_std_lsb", self.offset_std_lsb)
        for error in self.columns:
            require_within(limits.COLUMN, "noise.columns: column", error.column)
            require_within(limits.GAIN, f"noise.columns: gain of column {error.column}", error.gain)
            where = f"noise.columns: offset_lsb of column {error.column}"
            require_within(limits.offset_lsb(bits), where, error.offset_lsb)
        require(len(self.inl_v) == len(self.inl_lsb), "noise.inl_lsb", self.inl_lsb, "as many values as inl_v")
        for v, value in zip(self.inl_v, self.inl_lsb, strict=True):
            require_within(limits.inl_v(polarity), "noise.inl_v", v)
            require_within(limits.inl_lsb(bits), "noise.inl_lsb", value)
        ordered = all(a < b for a, b in zip(self.inl_v, self.inl_v[1:], strict=False))
        require(ordered, "noise.inl_v", self.inl_v, "knots in rising order")

    @property
    def reference_lsb(self) -> float:
        """One calibrated LSB at R = 1 as a fraction of full scale."""
        return (2.0 if self.reference_polarity == "bipolar" else 1.0) / 2.0**self.reference_bits

    @property
    def parts_lsb(self) -> tuple[float, float]:
        """Noise (before the range, of the converter) in LSB at R = 1, `sigma_lsb` included, `scale` not."""
        array, adc = self.sigma_array_lsb, self.sigma_adc_lsb
        if self.sigma_lsb is None:
            return array, adc
        total = math.hypot(array, adc)
        # Without noise to split, all of it is put before the range: it then does not shrink with a smaller R.
        share = (array / total, adc / total) if total > 0 else (1.0, 0.0)
        return self.sigma_lsb * share[0], self.sigma_lsb * share[1]

    @property
    def total_lsb(self) -> float:
        """Total noise before rounding in LSB at R = 1 of the calibrated converter, `scale` included."""
        return self.scale * math.hypot(*self.parts_lsb)

    @property
    def sigma_array(self) -> float:
        """Array noise as a fraction of full scale, `scale` included."""
        return self.scale * self.parts_lsb[0] * self.reference_lsb

    @property
    def sigma_adc(self) -> float:
        """Converter noise in LSB of whatever converter is used, `scale` included."""
        return self.scale * self.parts_lsb[1]

    @property
    def has_noise(self) -> bool:
        return self.sigma_array > 0 or self.sigma_adc > 0

    @property
    def has_mismatch(self) -> bool:
        """Whether the gain or the offset of any column is not nominal."""
        measured = any(c.gain != 1.0 or c.offset_lsb != 0.0 for c in self.columns)
        others = (self.gain_mean, self.offset_mean_lsb, self.gain_std, self.offset_std_lsb) != (1.0, 0.0, 0.0, 0.0)
        return self.mismatch and (measured or others)

    @property
    def has_inl(self) -> bool:
        return self.mismatch and any(value != 0.0 for value in self.inl_lsb)

    def with_own_parts(self) -> NoiseSpec:
        """The same noise with `sigma_lsb` brought into its two parts, so that one of them can be replaced."""
        array, adc = self.parts_lsb
        return dataclasses.replace(self, sigma_array_lsb=array, sigma_adc_lsb=adc, sigma_lsb=None)

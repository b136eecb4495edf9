"""The column converter: from an integer dot product to an ADC code.

    v     = dot / (rows * L)                                        a fraction of full scale
    v'    = gain * (v + inl(v) + curve(v)) + offset + sigma_array * eps1
    code  = clip(round(v' / lsb + sigma_adc * eps2), lo, hi)        lsb = span * R / steps

curve(v) is what a column's INL deviates from that of all (`curves`).
bipolar: span 2, codes -2**(B-1) .. 2**(B-1)-1; unipolar: span 1, codes 0 .. 2**B-1. Both noises are Gaussian and
fresh for each conversion, so one draw of sigma = sqrt((sigma_array/lsb)^2 + sigma_adc^2) LSB stands for both. Noise
that conversions share comes with their offsets. Where the converter's codes differ in width (DNL), thresholds take the
place of round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from imctrain.imc.chip.code_widths import code_thresholds, look_up, rounding_power
from imctrain.imc.chip.curves import curve
from imctrain.settings import Hardware


@dataclass(frozen=True)
class ConverterFigures:
    """One column ADC with its noise; all voltages are fractions of full scale.

    Attributes:
        bits: B.
        unipolar: codes from 0 (True) or around 0.
        steps: 2**B, or 2**B - 1 (full scale on the last code).
        sigma_array: noise before the range. sigma_adc: noise in LSB. Both may be traced, as the INL's values.
        sigma_slow, sigma_common: noise before the range that a column keeps through an MVM and its repeats, and that
            all columns of a pass share; None without. They may be traced too.
        inl: (knots in v, values in v), linear between knots and constant outside; empty for none.
        lowest_v: of the calibrated converter, for the curves of columns.
        thresholds: voltages in codes above the lowest code from which on the codes after it are given, rising, [2**B -
            1]; nominal is 1/2, 3/2, ...; equal ones are missing codes. Empty where all codes are one LSB wide. May be
            traced.
        integers: readings are rounded to integers where the converter tells them apart (`resolves`).
    """

    bits: int
    unipolar: bool
    steps: int
    sigma_array: Array | float
    sigma_adc: Array | float
    inl: tuple[tuple[float, ...], Any] = ((), ())
    integers: bool = True
    lowest_v: float = -1.0
    sigma_slow: Array | float | None = None
    sigma_common: Array | float | None = None
    thresholds: Any = ()

    @property
    def span(self) -> float:
        return 1.0 if self.unipolar else 2.0

    @property
    def lowest(self) -> int:
        return 0 if self.unipolar else -(2 ** (self.bits - 1))

    @property
    def highest(self) -> int:
        return 2**self.bits - 1 if self.unipolar else 2 ** (self.bits - 1) - 1

    @property
    def lsb_at_full_range(self) -> float:
        """lsb at R = 1; lsb = R * lsb_at_full_range."""
        return self.span / self.steps

    @property
    def has_dnl(self) -> bool:
        return len(self.thresholds) > 0


@dataclass(frozen=True)
class Converter(ConverterFigures):
    """What a column ADC does to voltages, and the noise that its readings have."""

    def sigma_lsb(self, reference: Array | float) -> Array:
        """Noise before rounding that each conversion draws anew, in LSB at reference range R."""
        lsb = reference * self.lsb_at_full_range
        return jnp.sqrt(jnp.square(self.sigma_array / lsb) + self.sigma_adc**2)

    @property
    def rounding_power(self) -> Array | float:
        """Variance of rounding, LSB^2: 1/12 where all codes are one LSB wide."""
        return rounding_power(self.thresholds) if self.has_dnl else 1.0 / 12.0

    @property
    def shared_power(self) -> Array | float:
        """Variance of the noise that conversions share, (fraction of full scale)^2."""
        parts = (self.sigma_slow, self.sigma_common)
        return sum((part**2 for part in parts if part is not None), start=0.0)

    def noise_power(
        self,
        reference: Array | float,
        unit: Array | float,
        relative: Array | float = 1.0,
        multiplier: Array | None = None,
    ) -> Array:
        """Variance of a reading around v by what it draws anew and by rounding, in units of (fraction of full scale)^2.

        lsb^2 (sigma^2 + 1/12); of a reading that is rounded to integers, that of an integer whose noise is rounded
        away where it is small (`rounded_integer_variance`).

        Args:
            reference: R. unit: rows * L, the dot product at full scale. relative: noise of the column over the
                chip's. multiplier: what the digital side multiplies the reading by; all broadcast.
        """
        lsb, sigma = reference * self.lsb_at_full_range, self.sigma_lsb(reference)
        sigma = sigma if isinstance(relative, float) else sigma * relative
        if multiplier is not None:
            lsb = lsb * multiplier
        plain = jnp.square(lsb) * (jnp.square(sigma) + self.rounding_power)
        if not self.integers:
            return plain
        if self.has_dnl:
            # What codes of unequal width add to rounding is not rounded away: it counts as noise.
            sigma = jnp.sqrt(jnp.square(sigma) + jnp.maximum(self.rounding_power - 1.0 / 12.0, 0.0))
        rounded = rounded_integer_variance(sigma * lsb * unit) / jnp.square(unit)
        return jnp.where(self.resolves(unit, reference), rounded, plain)

    def dithering(self, reference: Array | float, unit: Array | float) -> Array:
        """Noise that each conversion draws anew in units of the step that is rounded to: one LSB, or one integer where
        that is more. Noise that conversions share leaves the errors of their rounding alike, and dithers nothing."""
        step = reference * self.lsb_at_full_range
        noise = self.sigma_lsb(reference) * step
        return noise / (jnp.maximum(step, 1.0 / unit) if self.integers else step)

    def round_code(
        self,
        dots: Array,
        unit: Array | float,
        reference: Array | float,
        eps: Array | None,
        gain: Array | None = None,
        offset: Array | None = None,
        curves: tuple[Array, ...] | None = None,
    ) -> Array:
        """Codes before clipping, float32 integers.

        Args:
            dots: integer dot products; all other arguments must broadcast to them.
            unit: rows * L, the dot product at full scale (exactly representable, so that a tie stays a tie).
            reference: R.
            eps: standard normal samples, or None without noise.
            gain, offset: fixed pattern of the columns (offset as a fraction of full scale, shared noise included).
            curves: what their INL deviates from that of all, of each shape, as fractions of full scale.
        """
        ideal = not self.inl[0] and not self.has_dnl
        if ideal and all(part is None for part in (eps, gain, offset, curves)):
            return _nearest_code(dots * (self.steps / self.span), reference * unit)
        lsb = reference * self.lsb_at_full_range
        code = dots / (lsb * unit)
        if self.inl[0]:
            code = code + _hinges(dots / unit, *self.inl) / lsb
        if curves is not None:
            code = code + curve(curves, dots / unit, self.lowest_v) / lsb
        if gain is not None:
            code = gain * code
        if offset is not None:
            code = code + offset / lsb
        if eps is not None:
            code = code + self.sigma_lsb(reference) * eps
        return look_up(code, self.thresholds, self.lowest) if self.has_dnl else jnp.round(code)

    def resolves(self, unit: Array | float, reference: Array | float) -> Array | bool:
        """Whether one LSB at reference range R is at most one unit of the dot product.

        Such a converter tells every integer apart, and its digital side rounds the reading back to an integer: with
        noise and mismatch off the product is then exact, whatever N*L/2**B is (this project's decision;
        `adc.round_to_integers` switches it off, as published simulators have it). The macro's converter, 144 units an
        LSB at full range, is far from it.

        Args:
            unit: rows * L, the dot product at full scale. reference: R.
        """
        return reference * self.lsb_at_full_range * unit <= 1.0 + 1e-6

    def clip(self, code: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.clip(code, self.lowest, self.highest)


def rounded_integer_variance(sigma: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Variance of round(n) for n ~ N(0, sigma^2): 2 sum over m >= 1 of (2 m - 1) Q((m - 1/2) / sigma).

    0 without noise; sigma^2 + 1/12 from about sigma = 0.5 on, which the sum is cut off for.
    """
    # The terms are an axis. Written out one by one they were a large part of what a training step compiles.
    edges = np.arange(0.5, 6.0, dtype=np.float32).reshape(6, *[1] * sigma.ndim)
    tails = 2.0 * edges * jax.scipy.special.ndtr(-edges / jnp.clip(sigma, 1e-3, 1.0)[None])
    return jnp.where(sigma < 0.8, 2.0 * jnp.sum(tails, axis=0), jnp.square(sigma) + 1.0 / 12.0)


def _nearest_code(numerator: Array, width: Array | float) -> Array:
    """round(numerator / width) of an ideal converter, a dot product half way between two codes to the even one.

    A float division does not do: 1/255 has no float, and compilers divide by multiplying with a reciprocal. The
    remainder tells on which side of half way a dot product lies, exactly where dots * steps is below 2**24 (beyond,
    the division stands as it is: 10 bits and more with 2**B - 1 steps on large arrays).

    Args:
        numerator: dots * steps / span. width: R * unit.
    """
    code = jnp.round(numerator / width)
    rest = jnp.where(jnp.abs(numerator) < 2.0**24, numerator - code * width, 0.0)
    half, odd = 0.5 * width, code != 2.0 * jnp.floor(0.5 * code)
    up = (rest > half) | ((rest == half) & odd)
    down = (rest < -half) | ((rest == -half) & odd)
    return code + up.astype(jnp.float32) - down.astype(jnp.float32)


def _hinges(v: Array, knots: tuple[float, ...], values: Any) -> Array:
    """The piecewise-linear INL as a sum of hinges: no table look-up, so it fuses with the conversion."""
    total = jnp.full_like(v, 1.0) * values[0]
    slopes = [(values[i + 1] - values[i]) / (knots[i + 1] - knots[i]) for i in range(len(knots) - 1)]
    before: Array | float = 0.0
    for knot, slope in zip(knots, [*slopes, 0.0], strict=True):
        total = total + (slope - before) * jnp.maximum(v - knot, 0.0)
        before = slope
    return total


def converter(hardware: Hardware, *, non_negative: bool) -> Converter:
    """The converter of one MVM; `non_negative` says that neither its codes nor its cells can be negative."""
    adc, chip = hardware.adc, hardware.chip
    unipolar = adc.polarity == "unipolar" or (adc.polarity == "auto" and non_negative)
    inl: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    if hardware.has_inl:
        inl = (chip.inl_v, tuple(x * chip.reference_lsb for x in chip.inl_lsb))
    return Converter(
        bits=adc.bits,
        unipolar=unipolar,
        steps=2**adc.bits - (1 if adc.full_scale_on_last_code else 0),
        sigma_array=hardware.sigma_array,
        sigma_adc=hardware.sigma_adc,
        inl=inl,
        integers=adc.round_to_integers,
        lowest_v=chip.lowest_v,
        sigma_slow=hardware.sigma_slow if hardware.has_slow_noise else None,
        sigma_common=hardware.sigma_common if hardware.has_common_noise else None,
        thresholds=code_thresholds(hardware),
    )

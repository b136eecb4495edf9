"""The column converter: from an integer dot product to an ADC code.

    v     = dot / (rows * L)                                        a fraction of full scale
    v'    = gain * (v + inl(v)) + offset + sigma_array * eps1
    code  = clip(round(v' / lsb + sigma_adc * eps2), lo, hi)        lsb = span * R / steps

bipolar: span 2, codes -2**(B-1) .. 2**(B-1)-1; unipolar: span 1, codes 0 .. 2**B-1. Both noises are Gaussian and
fresh for each conversion, so one draw of sigma = sqrt((sigma_array/lsb)^2 + sigma_adc^2) LSB stands for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from imctrain.settings import Hardware


@dataclass(frozen=True)
class Converter:
    """One column ADC with its noise; all voltages are fractions of full scale.

    Attributes:
        bits: B.
        unipolar: codes from 0 (True) or around 0.
        steps: 2**B, or 2**B - 1 (full scale on the last code).
        sigma_array: noise before the range. sigma_adc: noise in LSB. Both may be traced, as the INL's values.
        inl: (knots in v, values in v), linear between knots and constant outside; empty for none.
        integers: readings are rounded to integers where the converter tells them apart (`resolves`).
    """

    bits: int
    unipolar: bool
    steps: int
    sigma_array: Array | float
    sigma_adc: Array | float
    inl: tuple[tuple[float, ...], Any] = ((), ())
    integers: bool = True

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

    def sigma_lsb(self, reference: Array | float) -> Array:
        """Total noise before rounding, in LSB at reference range R."""
        lsb = reference * self.lsb_at_full_range
        return jnp.sqrt(jnp.square(self.sigma_array / lsb) + self.sigma_adc**2)

    def noise_power(
        self,
        reference: Array | float,
        unit: Array | float,
        relative: Array | float = 1.0,
        multiplier: Array | None = None,
    ) -> Array:
        """Variance of a reading around v, rounding included, in units of (fraction of full scale)^2.

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
        plain = jnp.square(lsb) * (jnp.square(sigma) + 1.0 / 12.0)
        if not self.integers:
            return plain
        rounded = rounded_integer_variance(sigma * lsb * unit) / jnp.square(unit)
        return jnp.where(self.resolves(unit, reference), rounded, plain)

    def dithering(self, reference: Array | float, unit: Array | float) -> Array:
        """Noise before rounding in units of the step that is rounded to: one LSB, or one integer where that is more."""
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
    ) -> Array:
        """Codes before clipping, float32 integers.

        Args:
            dots: integer dot products; all other arguments must broadcast to them.
            unit: rows * L, the dot product at full scale (exactly representable, so that a tie stays a tie).
            reference: R.
            eps: standard normal samples, or None without noise.
            gain, offset: fixed pattern of the columns (offset as a fraction of full scale).
        """
        if not self.inl[0] and gain is None and offset is None and eps is None:
            return self._nearest_code(dots, unit, reference)
        lsb = reference * self.lsb_at_full_range
        code = dots / (lsb * unit)
        if self.inl[0]:
            code = code + self._inl(dots / unit) / lsb
        if gain is not None:
            code = gain * code
        if offset is not None:
            code = code + offset / lsb
        if eps is not None:
            code = code + self.sigma_lsb(reference) * eps
        return jnp.round(code)

    def _nearest_code(self, dots: Array, unit: Array | float, reference: Array | float) -> Array:
        """round(dots / (lsb * unit)) of an ideal converter, a dot product half way between two codes to the even one.

        A float division does not do: 1/255 has no float, and compilers divide by multiplying with a reciprocal. The
        remainder tells on which side of half way a dot product lies, exactly where dots * steps is below 2**24 (beyond,
        the division stands as it is: 10 bits and more with 2**B - 1 steps on large arrays).
        """
        numerator, width = dots * (self.steps / self.span), reference * unit
        code = jnp.round(numerator / width)
        rest = jnp.where(jnp.abs(numerator) < 2.0**24, numerator - code * width, 0.0)
        half, odd = 0.5 * width, code != 2.0 * jnp.floor(0.5 * code)
        up = (rest > half) | ((rest == half) & odd)
        down = (rest < -half) | ((rest == -half) & odd)
        return code + up.astype(jnp.float32) - down.astype(jnp.float32)

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

    def _inl(self, v: Array) -> Array:
        """The piecewise-linear INL as a sum of hinges: no table look-up, so it fuses with the conversion."""
        knots, values = self.inl
        total = jnp.full_like(v, 1.0) * values[0]
        slopes = [(values[i + 1] - values[i]) / (knots[i + 1] - knots[i]) for i in range(len(knots) - 1)]
        before: Array | float = 0.0
        for knot, slope in zip(knots, [*slopes, 0.0], strict=True):
            total = total + (slope - before) * jnp.maximum(v - knot, 0.0)
            before = slope
        return total


def rounded_integer_variance(sigma: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Variance of round(n) for n ~ N(0, sigma^2): 2 sum over m >= 1 of (2 m - 1) Q((m - 1/2) / sigma).

    0 without noise; sigma^2 + 1/12 from about sigma = 0.5 on, which the sum is cut off for.
    """
    small = jnp.clip(sigma, 1e-3, 1.0)
    tails = [(2 * m - 1) * jax.scipy.special.ndtr(-(m - 0.5) / small) for m in range(1, 7)]
    return jnp.where(sigma < 0.8, 2.0 * sum(tails), jnp.square(sigma) + 1.0 / 12.0)


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
    )

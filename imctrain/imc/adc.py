"""The column converter: from an integer dot product to an ADC code.

    v     = dot / (rows * L)                                        a fraction of full scale
    v'    = gain * (v + inl(v)) + offset + sigma_array * eps1
    code  = clip(round(v' / lsb + sigma_adc * eps2), lo, hi)        lsb = span * R / steps

bipolar: span 2, codes -2**(B-1) .. 2**(B-1)-1; unipolar: span 1, codes 0 .. 2**B-1. Both noises are Gaussian and
fresh for each conversion, so one draw of sigma = sqrt((sigma_array/lsb)^2 + sigma_adc^2) LSB stands for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from imctrain.imc.hardware import AdcSpec, NoiseSpec


@dataclass(frozen=True)
class Converter:
    """One column ADC with its noise; all voltages are fractions of full scale.

    Attributes:
        bits: B.
        unipolar: codes from 0 (True) or around 0.
        steps: 2**B, or 2**B - 1 (full scale on the last code).
        sigma_array: noise before the range. sigma_adc: noise in LSB.
        inl: (knots in v, values in v), linear between knots and constant outside; empty for none.
    """

    bits: int
    unipolar: bool
    steps: int
    sigma_array: float
    sigma_adc: float
    inl: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())

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

    def noise_power(self, reference: Array | float) -> Array:
        """Variance of code * lsb around v, rounding included, in units of (fraction of full scale)^2."""
        return jnp.square(reference * self.lsb_at_full_range) * (jnp.square(self.sigma_lsb(reference)) + 1.0 / 12.0)

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

    def clip(self, code: Array) -> Array:
        return jnp.clip(code, self.lowest, self.highest)

    def _inl(self, v: Array) -> Array:
        """The piecewise-linear INL as a sum of hinges: no table look-up, so it fuses with the conversion."""
        knots, values = self.inl
        total = jnp.full_like(v, values[0])
        slopes = [(b - a) / (t - s) for s, t, a, b in zip(knots, knots[1:], values, values[1:], strict=False)]
        before = 0.0
        for knot, slope in zip(knots, [*slopes, 0.0], strict=True):
            if slope != before:
                total = total + (slope - before) * jnp.maximum(v - knot, 0.0)
            before = slope
        return total


def converter(adc: AdcSpec, noise: NoiseSpec, *, non_negative: bool) -> Converter:
    """The converter of one MVM; `non_negative` says that neither its codes nor its cells can be negative."""
    unipolar = adc.polarity == "unipolar" or (adc.polarity == "auto" and non_negative)
    inl: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    if noise.has_inl:
        inl = (noise.inl_v, tuple(x * noise.reference_lsb for x in noise.inl_lsb))
    return Converter(
        bits=adc.bits,
        unipolar=unipolar,
        steps=2**adc.bits - (1 if adc.full_scale_on_last_code else 0),
        sigma_array=noise.sigma_array,
        sigma_adc=noise.sigma_adc,
        inl=inl,
    )


def resolves_integers(conv: Converter, rows: float, levels: int) -> bool:
    """Whether one LSB at R = 1 is at most one unit of the dot product.

    Such a converter tells every integer apart, and its digital side rounds the reading back to an integer: with noise
    and mismatch off the product is then exact, whatever N*L/2**B is (this project's decision). The macro's converter,
    144 units an LSB at full range, is far from it.
    """
    return conv.lsb_at_full_range * rows * levels <= 1.0 + 1e-9 and math.isfinite(rows)

"""What rows that cannot be right look like, taken together: codes in another form, inputs in another unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from imctrain.calibration.arrays import Floats
from imctrain.calibration.reading.codes import CLEARLY, NEAR, CodeForm, distance, inputs_and_codes, signed_codes
from imctrain.calibration.reading.setup import MAX_BITS, MeasurementSetup

if TYPE_CHECKING:
    import polars as pl

AVERAGED_SHARE = 0.2
FEWEST = 8
ALIKE = 0.12
"""Of a scale of inputs: how closely it must be met to be named."""


def look(values: pl.DataFrame, setup: MeasurementSetup) -> str:
    """What the rows of a file look like, with the option that reads them; "" where nothing fits clearly."""
    v, code = inputs_and_codes(values, setup)
    if code.size < FEWEST:
        return ""
    return next((told for told in (_fractional(v, code), _form(v, code, setup), _scale(v, code, setup)) if told), "")


def _fractional(v: Floats, code: Floats) -> str:
    share = float(np.mean(code != np.round(code)))
    if share < AVERAGED_SHARE:
        return ""
    if np.abs(code).max() <= 1.5 < np.abs(v).max():
        return "are ideal and code swapped? Codes are no integers and small, inputs are large"
    if np.abs(code).max() <= 1.5:
        return (
            f"{100 * share:.0f} % of the codes are no integers and all are small: they look like volts, not like codes"
        )
    return (
        f"{100 * share:.0f} % of the codes are no integers: they look averaged; give every single conversion as a row, "
        "since means do not tell the noise"
    )


def _form(v: Floats, code: Floats, setup: MeasurementSetup) -> str:
    """Codes of another form, if one brings them near to the nominal transfer and the others do not."""
    if (code >= setup.lowest + setup.zero_code).all() and (code <= setup.highest + setup.zero_code).all():
        return ""
    half, span = 2 ** (setup.bits - 1), 2**setup.bits
    bipolar = np.clip(v * half, -half, half - 1)
    told: list[tuple[float, str]] = []
    if code.min() >= 0 and setup.polarity == "bipolar" and not setup.zero_code:
        forms: tuple[tuple[CodeForm, str], ...] = (
            ("twos-complement", "two's complement read as unsigned: give --codes twos-complement"),
            ("offset-binary", f"offset binary: give --codes offset-binary, or --zero-code {half}"),
        )
        told = [(distance(signed_codes(code, form, setup.bits), bipolar, setup), words) for form, words in forms]
        if v.min() >= 0:
            unipolar = np.clip(v * span, 0, span - 1)
            told.append((distance(code, unipolar, setup), "those of a unipolar ADC: give --polarity unipolar"))
    if setup.polarity == "unipolar" and code.min() < 0 and v.min() < 0:
        told.append((distance(code, bipolar, setup), "those of a bipolar ADC: give --polarity bipolar"))
    # Codes of one more bit at inputs above 0 only look like a unipolar converter's, the likelier of the two.
    return _clearest(told) or _clearest(list(_other_bits(v, code, setup)))


def _clearest(told: list[tuple[float, str]]) -> str:
    """The nearest of some explanations, where it is near and no other is."""
    told = sorted(told)
    clear = bool(told) and told[0][0] < NEAR and (len(told) == 1 or told[1][0] > CLEARLY * told[0][0])
    return f"codes look like {told[0][1]}" if clear else ""


def _other_bits(v: Floats, code: Floats, setup: MeasurementSetup) -> Iterator[tuple[float, str]]:
    for bits in range(setup.bits + 1, MAX_BITS + 1):
        lowest = 0 if setup.polarity == "unipolar" else -(2 ** (bits - 1))
        if lowest <= code.min() and code.max() < lowest + 2**bits:
            nominal = np.clip(v * setup.codes_per_v * 2.0 ** (bits - setup.bits), lowest, lowest + 2**bits - 1)
            yield float(np.median(np.abs(code - nominal))) / 2**bits, f"those of {bits} bits: give --bits {bits}"
            return


def _scale(v: Floats, code: Floats, setup: MeasurementSetup) -> str:
    """Inputs in another unit, by the slope of the codes that are not clipped."""
    zero = setup.zero_code
    inside = (code > setup.lowest + zero) & (code < setup.highest + zero)
    v, code = v[inside], code[inside] - zero
    if v.size < FEWEST or np.abs(v).max() <= 1.0 or np.ptp(v) == 0:
        return ""
    v_off, code_off = v - v.mean(), code - code.mean()
    if np.corrcoef(v_off, code_off)[0, 1] < 0.9:
        return ""
    full = setup.codes_per_v / float((v_off @ code_off) / (v_off @ v_off))
    for scale, told in (
        (100.0, "in percent: give --unit ideal=%"),
        (setup.codes_per_v, "in LSB: give --unit ideal=LSB"),
    ):
        if abs(full / scale - 1) < ALIKE:
            return f"inputs look {told}"
    return f"inputs look as if full scale were {full:.3g}: for volts give --unit ideal=V (or mV) and --full-scale VOLTS"

"""What is told of a converter's faults: what was found, how sure it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from imctrain.calibration.faults.bits import BitFaults, StuckBit
from imctrain.calibration.faults.drift import Effect, OrderEffects
from imctrain.calibration.faults.rounding import Truncation
from imctrain.calibration.faults.significance import FALSE_ALARM, MATTERS_LSB
from imctrain.calibration.faults.slow_noise import SlowNoise
from imctrain.calibration.faults.thresholds import Thresholds
from imctrain.calibration.sections.evidence import Evidence

FEW_TURNS = 6
MATTERS_GAIN = 1e-3
MANY = 8


def faults_in_words(e: Evidence) -> Iterator[str]:
    """One line a finding."""
    faults = e.faults
    setup = e.fit.transfer.setup
    yield from bits_in_words(faults.bits)
    if faults.truncation is not None:
        yield _truncation(faults.truncation)
    if faults.thresholds is not None:
        yield from _thresholds(faults.thresholds, e.fit.noise.total)
    if faults.order is not None:
        yield from _order(faults.order, float(setup.codes_per_v))
    if faults.slow is not None:
        yield from _slow(faults.slow)


def bits_in_words(bits: BitFaults, refused: bool = False) -> list[str]:
    """Stuck, swapped and inverted bits."""
    fewer = "" if refused else ": noise, gain and offset here are those of a converter with fewer codes"
    told = [
        f"{_stuck(bit)}: half of the codes never occur (a bit is stuck); repair the read-out or the converter and "
        f"measure again{fewer}"
        for bit in bits.stuck
    ]
    again = "correct the read-out's order of bits and calibrate again"
    again += "" if refused else ": the figures here are of spoilt codes"
    if bits.swapped is not None:
        a, b = bits.swapped
        told.append(f"bits {a} and {b} of the codes are swapped: exchanged, codes lie much closer to a line; {again}")
    if bits.inverted is not None:
        told.append(
            f"bit {bits.inverted} of the codes is inverted: turned over, codes lie much closer to a line; {again}"
        )
    if bits.stuck_in_columns:
        shown = "; ".join(_stuck(bit) for bit in bits.stuck_in_columns[:MANY])
        more = f" and {len(bits.stuck_in_columns) - MANY} more" if len(bits.stuck_in_columns) > MANY else ""
        told.append(f"{shown}{more}: leave such columns out, their figures are not those of a converter")
    return told


def _stuck(bit: StuckBit) -> str:
    where = "in all columns" if bit.column is None else f"in column {bit.column}"
    if bit.die:
        where += f" of die {bit.die}"
    other = 1 - bit.value
    return (
        f"bit {bit.bit} of the codes is stuck at {bit.value} {where}: it is {other} in {bit.contrary} of {bit.rows} "
        f"conversions where {bit.expected} are expected"
    )


def _truncation(found: Truncation) -> str:
    kind = "truncates (floor)" if found.truncates else "rounds up (ceil)"
    value = f"{found.offset:+.2f} +- {1.96 * found.error:.2f} LSB"
    if found.by_ranges:
        return (
            f"codes are {value} off at every reference range alike: the converter {kind} rather than rounds to the "
            "nearest code; offsets below hold what one offset at R = 1 can hold of it: set --zero-code or add half a "
            "code in the read-out"
        )
    return (
        f"the mean offset of columns is {value}, half a code in all columns alike: a converter that {kind} rather than "
        "rounds to the nearest code looks so (a second reference range would tell it from an offset); it is kept as "
        "offset, and the simulator adds it to every column"
    )


def _thresholds(found: Thresholds, sigma: float) -> Iterator[str]:
    if found.missing:
        shown = ", ".join(str(code) for code in found.missing[:MANY])
        more = f" and {len(found.missing) - MANY} more" if len(found.missing) > MANY else ""
        yield (
            f"code{'s' if len(found.missing) > 1 else ''} {shown}{more} never or hardly ever occur where "
            f"{min(found.expected):.0f} conversions or more are expected: missing codes of the converter (chance below "
            f"{FALSE_ALARM:g} on a sound one)"
        )
    if found.bits:
        shown = ", ".join(f"bit {b.bit} {b.error:+.2f} +- {1.96 * b.error_of:.2f} LSB" for b in found.bits)
        yield (
            f"the densities of codes repeat with powers of two: weights of bits are off ({shown}), as of a converter "
            "whose weights are mismatched; trim it if it can be trimmed"
        )
    if found.significant:
        at = int(np.argmax(np.abs(found.width - 1.0)))
        yield (
            f"codes are not equally wide (DNL): {found.rms[0]:.2f} LSB rms, chi-squared {found.chi_squared:.0f} for "
            f"{found.freedom} degrees of freedom (p {_chance(found.p)}), widest deviation {found.width[at] - 1:+.2f} "
            f"LSB; the table is `dnl`, and the noise is given without it ({sigma * found.noise:.3g} LSB where "
            f"{sigma:.3g} would hold both)"
        )


def _chance(p: float) -> str:
    return f"{p:.0e}" if p > 1e-99 else "below 1e-99"


def _order(found: OrderEffects, codes_per_v: float) -> Iterator[str]:
    if found.hysteresis.significant and abs(found.hysteresis.value) > MATTERS_LSB:
        few = (
            f"; the direction changes {found.turns} time{'s' if found.turns != 1 else ''} only, so that a jump in time "
            "would look the same: sweep up and down several times"
            if found.turns < FEW_TURNS
            else ""
        )
        higher = "higher" if found.hysteresis.value > 0 else "lower"
        yield (
            f"hysteresis: codes are {_value(found.hysteresis, sign=False)} LSB {higher} where the input rises than "
            "where it falls; "
            f"the noise holds it and is no Gaussian then (two values), and it is not simulated{few}"
        )
    offset = found.offset.significant and abs(found.offset.value) > MATTERS_LSB
    gain = found.gain.significant and abs(found.gain.value) > MATTERS_GAIN
    if offset or gain:
        shown = [f"offset {_value(found.offset)} LSB"] if offset else []
        shown += [f"gain {_value(found.gain, 100.0)} %"] if gain else []
        yield (
            f"drift within the measurement: from its first row to its last {' and '.join(shown)}; the noise holds it "
            "as if it were drawn anew at every conversion: let the chip warm up, or measure in random order and faster"
        )
    if not found.offset.told:
        yield (
            "the inputs follow the order of rows so closely that a drift within the measurement would look like gain "
            "or offset: measure inputs in random order, or sweep several times"
        )


def _value(effect: Effect, factor: float = 1.0, sign: bool = True) -> str:
    half = 1.96 * effect.error * factor
    digits = 2 if half >= 0.01 else 3
    value = factor * effect.value
    return f"{value:+.{digits}f} +- {half:.{digits}f}" if sign else f"{abs(value):.{digits}f} +- {half:.{digits}f}"


def _slow(found: SlowNoise) -> Iterator[str]:
    if found.slow is not None and found.slow.significant and found.slow.variance > MATTERS_LSB**2:
        sigma = float(np.sqrt(found.slow.variance))
        later = found.later
        longer = ""
        if later is not None and later.significant:
            longer = f", and {float(np.sqrt(later.variance)):.2g} LSB still 16 conversions of the column later (as 1/f)"
        yield (
            f"part of the noise is slow: {sigma:.2g} LSB are the same in a column's next conversion{longer}; repeats "
            "do not average it (`noise.sigma_slow_lsb`, a part of sigma_lsb)"
        )
    if found.common is not None and found.common.significant and found.common.variance > MATTERS_LSB**2:
        yield (
            f"part of the noise is common to all columns of a pass: {float(np.sqrt(found.common.variance)):.2g} LSB "
            "(`noise.sigma_common_lsb`, a part of sigma_lsb): averaging over columns does not lower it"
        )

"""Bounds of physical figures and of settings, each stated once.

Configs, calibration files and hardware built in Python must refuse the same values, so they read them here. The bounds
are this project's decision. They are generous: what lies beyond cannot be meant (a gain of -1), or is no longer a
number where it is used (a range of 1e-320 is 0 in float32).
"""

from __future__ import annotations

from typing import NamedTuple


class Bounds(NamedTuple):
    """An interval of allowed values; `low` itself is left out where `above` is set. NaN is never inside."""

    low: float
    high: float
    above: bool = False

    def hold(self, value: float) -> bool:
        """Whether a value is allowed."""
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def nearest(self, value: float) -> float:
        """The closest to a value between the bounds, `low` among them."""
        return min(max(value, self.low), self.high)

    def __str__(self) -> str:
        low = f"above {self.low:g} and at most" if self.above else f"{_number(self.low)} to"
        return f"{low} {_number(self.high)}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


# Of a chip. One LSB is a step of the calibrated converter at R = 1.

GAIN = Bounds(0.0, 4.0)
"""Of a column, 1 nominal, 0 dead: charge sharing can only lose swing, so that 4 is a file in other units."""
MEAN_GAIN = Bounds(0.0, 4.0, above=True)
"""Of all columns: a chip whose mean column is dead multiplies nothing."""
GAIN_STD = Bounds(0.0, 1.0)
"""A spread as wide as the gain itself gives columns of either sign."""
NOISE_SCALE = Bounds(0.0, 1e6)
"""The noise it makes has a bound of its own (`noise_lsb`)."""
CHIP_SEED = Bounds(0, 2**63 - 1)
"""Random generators take no negative seed, TOML no longer integer."""
DIE = Bounds(1, 2**32 - 1)
"""A number that draws a die; 0 would be the calibrated one."""
TEMPERATURE_C = Bounds(-273.0, 1000.0)
"""Above 1000 degrees Celsius no silicon works."""
EPOCH = Bounds(0, 10**6)
COLUMN_NOISE = Bounds(0.0, 1e6)
"""Of a column relative to its chip's; the noise that it makes has no bound of its own."""
COLUMN_NOISE_STD = Bounds(0.0, 3.0)
"""Of its logarithm: at 3, one column in forty has four hundred times the median."""
COLUMN = Bounds(0, 65535)
"""An index: a negative one would count from the last column."""


def noise_lsb(bits: int) -> Bounds:
    """Noise before rounding: with more than all codes of the converter, nothing of the input is left."""
    return Bounds(0.0, float(2**bits))


MOST_DNL_BITS = 16
"""Of a converter whose every code has a width of its own: with more, a table is larger than what it converts."""


def is_part_of_noise(part_lsb: float, total_lsb: float) -> bool:
    """Whether noise may be a part of the total, give or take 5 % and 0.01 LSB: both are estimates."""
    return part_lsb <= 1.05 * total_lsb + 0.01


def offset_lsb(bits: int) -> Bounds:
    """Offset of a column: all codes of the converter, in either direction."""
    return Bounds(-float(2**bits), float(2**bits))


def offset_std_lsb(bits: int) -> Bounds:
    """Spread of the offsets: as far as one offset may go."""
    return Bounds(0.0, float(2**bits))


def inl_lsb(bits: int) -> Bounds:
    """Integral non-linearity: beyond a quarter of all codes the figures are not in LSB."""
    return Bounds(-float(2**bits) / 4, float(2**bits) / 4)


def inl_rms_lsb(bits: int) -> Bounds:
    """What single columns deviate from it: as far as it may go itself."""
    return Bounds(0.0, float(2**bits) / 4)


def inl_v(polarity: str) -> Bounds:
    """Knots of the INL: inputs that the calibrated converter has, give or take the digits of a file."""
    return Bounds(-1.0 - 1e-6 if polarity == "bipolar" else -1e-6, 1.0 + 1e-6)


# Of a technology.

NODE_NM = Bounds(1.0, 1000.0)
"""Of a process."""
SUPPLY_V = Bounds(0.1, 5.0)
"""Below 0.1 V no logic switches, above 5 V no process of the last 30 years lives."""


# Of settings.

RANGE = Bounds(2.0**-16, 1.0)
"""Reference range: at 1 V of full scale, 2**-16 is 15 microvolt for all codes of a converter."""
HEADROOM = Bounds(0.1, 100.0)
"""Standard deviations that a range holds: at 0.1 nearly all conversions clip, at 100 every signal is within an LSB."""
OFFSET_CONVERSIONS = Bounds(0, 10**9)
"""Readings of one column: 10 s at 100 million conversions a second."""
CLIP_SCALE = Bounds(1e-3, 4.0)
"""Multiplies the clip of an operand: at 1e-3 every code saturates."""
GRADIENT_CLIP = Bounds(1e-2, 1e6)
"""In units of the gradient's rms: at 1e-2 every level saturates; 1e6 takes a gradient of 1e12 elements."""
PACT_RATE = Bounds(0.0, 1.0)
"""Step and decay of a learned clip, relative to the clip: 1 moves it by itself."""
BIAS_LIMIT = Bounds(0.0, 0.5, above=True)
"""LSB: no rounding is wrong by more than half."""
CLIP_LIMIT = Bounds(0.0, 1.0, above=True)
"""A fraction of the conversions."""
INL_LIMIT = Bounds(0.0, 1e6, above=True)
"""LSB: more than any converter has codes within a quarter of its range."""
MACROS = Bounds(1, 4096)
MODEL_WIDTH = Bounds(1, 2**16)
"""What memory holds is a question of the model (`models.registry`)."""
MEMORY_MIB = Bounds(1, 2**20)
"""One TiB."""

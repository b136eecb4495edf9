"""[imc.noise]: what is made of a chip's noise and mismatch."""

from __future__ import annotations

from typing import Annotated, ClassVar

from imctrain import limits
from imctrain.settings.base import Section, within

Sigma = Annotated[float, within(limits.noise_lsb(24))]


class NoiseSpec(Section):
    """Noise and mismatch in place of the chip's. Figures in LSB at R = 1 of the calibrated converter, before
    rounding."""

    PREFIX: ClassVar[str] = "noise."

    sigma_lsb: Sigma | None = None
    """Total noise in place of the chip's, with the same split between array and converter. The chip's by default."""
    sigma_array_lsb: Sigma | None = None
    """Noise voltage that is there before the converter's range, in place of the chip's: it does not shrink with R."""
    sigma_adc_lsb: Sigma | None = None
    """Noise of the converter itself, in its own LSB, in place of the chip's: it shrinks with R."""
    sigma_slow_lsb: Sigma | None = None
    """Part of the total noise that a column keeps through an MVM, all of its passes and repeats, in place of the
    chip's: repeats do not average it. It is present before the range. Where the total is replaced, it keeps its
    share."""
    sigma_common_lsb: Sigma | None = None
    """Part of the total noise that all columns of a pass share, in place of the chip's; the same holds."""
    scale: Annotated[float, within(limits.NOISE_SCALE)] = 1.0
    """Multiplies the noise."""
    mismatch: bool = True
    """Gain, offset, INL and DNL of the chip, and what columns differ by in noise; false leaves them out."""
    dnl: bool = True
    """Widths of the converter's codes, where the calibration has them; false takes all codes as equally wide."""

"""The DNL that all columns share, where it is significant."""

from __future__ import annotations

import numpy as np

from imctrain.calibration.schema import Dnl, Estimate
from imctrain.calibration.sections.bounds import rounded
from imctrain.calibration.sections.evidence import Evidence


def dnl_of(e: Evidence) -> Dnl | None:
    """Widths of codes, from the first threshold that the conversions tell to the last; None without a clear DNL."""
    found = e.thresholds
    if found is None:
        return None
    low, value, high = (rounded(x) for x in (found.rms[1], found.rms[0], found.rms[2]))
    width = np.array([rounded(x) for x in found.width])
    return Dnl(
        first_code=found.first + e.fit.transfer.setup.lowest,
        start_lsb=rounded(found.shift[0]),
        width=tuple(width),
        low=tuple(rounded(x) for x in np.minimum(found.low, width)),
        high=tuple(rounded(x) for x in np.maximum(found.high, width)),
        rms_lsb=Estimate(value=value, low=low, high=high),
        chi_squared=rounded(found.chi_squared),
        freedom=found.freedom,
        p_value=rounded(found.p),
        missing_codes=found.missing or None,
    )

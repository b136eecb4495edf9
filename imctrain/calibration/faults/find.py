"""All that is looked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from imctrain.calibration.faults.bits import BitFaults
from imctrain.calibration.faults.drift import OrderEffects, order_effects
from imctrain.calibration.faults.rounding import Truncation, truncation
from imctrain.calibration.faults.rows import rows_in_order
from imctrain.calibration.faults.slow_noise import SlowNoise, slow_noise
from imctrain.calibration.faults.thresholds import Thresholds, thresholds
from imctrain.calibration.fit.bootstrap import Replicates
from imctrain.calibration.fit.chip_fit import ChipFit
from imctrain.calibration.fit.column_curves import ColumnCurves


@dataclass(frozen=True)
class Faults:
    """What was found; None where the file could not tell, or where something else has spoilt the codes."""

    bits: BitFaults
    thresholds: Thresholds | None
    order: OrderEffects | None
    slow: SlowNoise | None
    truncation: Truncation | None


def find_faults(fit: ChipFit, replicates: Replicates, curves: ColumnCurves | None, bits: BitFaults) -> Faults:
    """Of a fit; `bits` were looked at before it."""
    if bits.of_all:
        return Faults(bits, None, None, None, None)
    rows = rows_in_order(fit)
    effects = None if rows is None else order_effects(fit, rows)
    if rows is not None and effects is not None:
        # What is told as drift or hysteresis is not told as slow noise again.
        rows = replace(rows, score=rows.score - rows.information * effects.shift)
    slow = None if rows is None else slow_noise(rows)
    return Faults(
        bits,
        thresholds(fit, curves, 1.0 if slow is None else slow.dispersion),
        effects,
        slow,
        truncation(fit, replicates, effects),
    )

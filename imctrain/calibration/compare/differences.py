"""Two calibrations side by side, in numbers."""

from __future__ import annotations

import numpy as np

from imctrain.calibration.schema import Calibration
from imctrain.calibration.schema.typical import alive_columns
from imctrain.calibration.summary.figure import Figure
from imctrain.calibration.summary.figures import figures


def side_by_side(a: Calibration, b: Calibration) -> list[tuple[Figure, Figure, str]]:
    """Every figure of both, and what to say of the difference, that of `a` less that of `b`."""
    of_b = {figure.label: figure for figure in figures(b)}
    of_a = {figure.label: figure for figure in figures(a)}
    found = []
    for label in dict.fromkeys([*of_a, *of_b]):
        unit, digits = (of_a.get(label) or of_b[label]).unit, (of_a.get(label) or of_b[label]).digits
        missing = Figure(label, unit, None, digits=digits)
        one, other = of_a.get(label, missing), of_b.get(label, missing)
        found.append((one, other, _verdict(one, other)))
    return found


def _verdict(a: Figure, b: Figure) -> str:
    if a.value is None or b.value is None:
        return ""
    difference = a.value - b.value
    words = f"{difference:+.{a.digits}f}"
    if b.value > 0 and b.unit == "LSB":
        words += f" ({difference / b.value:+.1%})"
    apart = a.differs_from(b)
    return words if apart is None else words + (" apart" if apart else " within")


def column_differences(a: Calibration, b: Calibration) -> dict[str, float] | None:
    """Of columns that both list: how many, rms differences, and correlations of gain and offset; None without any."""
    of_b = {column.column: column for column in alive_columns(b)}
    pairs = [(column, of_b[column.column]) for column in alive_columns(a) if column.column in of_b]
    if not pairs:
        return None
    gain = np.array([(x.gain, y.gain) for x, y in pairs])
    offset = np.array([(x.offset_lsb, y.offset_lsb) for x, y in pairs])

    def correlation(values: np.ndarray) -> float:
        if len(values) < 3 or np.ptp(values[:, 0]) == 0 or np.ptp(values[:, 1]) == 0:
            return float("nan")
        return float(np.corrcoef(values.T)[0, 1])

    return {
        "columns": float(len(pairs)),
        "gain_rms": float(np.sqrt(np.mean((gain[:, 1] - gain[:, 0]) ** 2))),
        "offset_rms_lsb": float(np.sqrt(np.mean((offset[:, 1] - offset[:, 0]) ** 2))),
        "gain_correlation": correlation(gain),
        "offset_correlation": correlation(offset),
    }

"""`imctrain cost --peak`: what a technology's own macro does at best, at each supply that it was published at."""

from __future__ import annotations

from typing import Any

from imctrain.technology import Technology, load_technology, peak


def peak_figures(technology: str, supply_v: float | None = None) -> dict[str, Any]:
    """Peak figures, 1-b normalised; on top those at the technology's own supply, or at `supply_v`. Raises UserError."""
    found = load_technology(technology)
    main = _point(found, found.supply_v if supply_v is None else supply_v)
    others = [] if supply_v is not None else [_point(found, supply) for supply in supplies(found)]
    macro = found.macro
    return {
        "technology": found.name,
        "node_nm": found.node_nm,
        "rows": macro.rows,
        "columns": macro.columns,
        "adc_bits": macro.adc_bits,
        "input_bits": macro.input_bits,
        **main,
        "operating_points": others or [main],
    }


def supplies(technology: Technology) -> list[float]:
    """Supplies that the technology has figures at, V, its own among them."""
    listed = {point.supply_v for _, figure in technology.figures() if figure is not None for point in figure.values}
    return sorted(listed | {technology.supply_v})


def _point(technology: Technology, supply_v: float) -> dict[str, Any]:
    found = peak(technology, supply_v=supply_v)
    return {
        "supply_v": supply_v,
        "tops_per_w": found.tops_per_w.value,
        "tops_per_w_band": [found.tops_per_w.low, found.tops_per_w.high],
        "tops_per_mm2": found.tops_per_mm2.value,
        "tops_per_mm2_band": [found.tops_per_mm2.low, found.tops_per_mm2.high],
        "conversion_j": found.conversion_j.value,
        "converter_j": found.converter_j.value,
        "array_j": found.array_j.value,
        "driver_j": found.driver_j.value,
        "pass_s": found.pass_s.value,
        "area_mm2": 1e6 * found.area_m2.value,
        "provenance": found.conversion_j.provenance,
    }

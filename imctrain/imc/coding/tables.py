"""`python -m imctrain.imc.coding.tables` prints the tables of docs/mapping.md."""

from __future__ import annotations

import math

from imctrain.formats import INT4, UINT4, IntegerFormat
from imctrain.imc.coding.gradient_mappings.balanced import balanced
from imctrain.imc.coding.gradient_mappings.bit_serial import bit_serial
from imctrain.imc.coding.gradient_mappings.grouped import grouped
from imctrain.imc.coding.integer_passes import integer_mapping
from imctrain.imc.coding.passes import Mapping
from imctrain.imc.coding.planes import PlaneCoding
from imctrain.imc.coding.search import norm_bound, search_balanced
from imctrain.settings import RADIX4_EXPONENTS, ActivationMapping, ArraySpec, Cell, Drive, MappingSpec

ARRAYS = ((2, 6), (4, 3), (4, 4), (8, 3), (16, 2), (16, 3), (16, 4), (16, 5), (32, 3), (64, 2), (128, 3))
"""(L, passes) searched."""


def mappings_table(levels: int = 16) -> list[str]:
    """Rows: name, passes, coefficients, noise gain, noise against grouped in dB."""
    reference = grouped(levels).noise_gain
    rows = []
    for name, mapping in (
        ("bit_serial", bit_serial(levels)),
        ("grouped", grouped(levels)),
        ("balanced", balanced(levels)),
    ):
        gain = 20 * math.log10(mapping.noise_gain / reference)
        coefficients = ", ".join(f"{c:g}" for c in mapping.coefficients)
        rows.append(f"| {name} | {mapping.passes} | {coefficients} | {mapping.noise_gain:.1f} | {gain:.1f} dB |")
    return rows


def codes_table(mapping: Mapping) -> list[str]:
    """Rows: magnitude and its code in each pass."""
    rows = zip(mapping.magnitudes, mapping.codes, strict=True)
    return [f"| {magnitude} | " + " | ".join(map(str, row)) + " |" for magnitude, row in rows]


DACS: tuple[tuple[Drive, tuple[int, ...]], ...] = (("signed", (5, 4, 3, 2, 1)), ("unsigned", (4, 3, 2, 1)))
"""Drives and input bits of the table of activations."""


def activations_table(fmt: IntegerFormat) -> list[str]:
    """Rows: drive, input bits, L; for each mapping passes, coefficients and noise at equal conversions in dB, against
    one pass with c = 1 on 16 levels."""
    rows = []
    for drive, many in DACS:
        for bits in many:
            array = ArraySpec(input_bits=bits, drive=drive)
            cells = [drive, str(bits), str(array.levels)]
            for activation, full in ACTIVATIONS:
                mapping = integer_mapping(MappingSpec(activation=activation, full_drive=full), array, fmt)
                noise = 20 * math.log10(array.levels * mapping.noise_gain * math.sqrt(mapping.passes) / 16)
                cells += [", ".join(f"{c:g}" for c in mapping.coefficients), f"{noise:.1f} dB"]
            rows.append("| " + " | ".join(cells) + " |")
    return rows


ACTIVATIONS: tuple[tuple[ActivationMapping, bool], ...] = (
    ("balanced", False),
    ("digit_serial", False),
    ("balanced", True),
)
"""(mapping.activation, mapping.full_drive)."""


def search_table() -> list[str]:
    """Rows: L, passes, coefficients, norm, bound."""
    rows = []
    for levels, passes in ARRAYS:
        found = search_balanced(levels, RADIX4_EXPONENTS, passes)
        bound = norm_bound(levels, RADIX4_EXPONENTS, passes)
        text = ", ".join(map(str, found)) if found else "-"
        norm = f"{math.sqrt(sum(c * c for c in found)):.2f}" if found else ""
        rows.append(f"| {levels} | {passes} | {text} | {norm} | {bound:.2f} |")
    return rows


PLANES: tuple[tuple[Cell, int | None], ...] = (
    ("and", None),
    ("and", 4),
    ("and", 5),
    ("xnor", 4),
    ("xnor", 5),
    ("xnor", 6),
    ("xnor", 8),
)
"""(cell, planes); None for two's complement and binary."""


def planes_table() -> list[str]:
    """Rows: cell, codes, planes, their weights, sum of squares, noise against AND cells' usual planes in dB, centre."""
    rows = []
    for fmt in (INT4, UINT4):
        usual = _power(PlaneCoding("and", fmt))
        for cell, count in PLANES:
            coding = PlaneCoding(cell, fmt, count)
            beta = ", ".join(f"{b:g}" for b in coding.weights)
            noise = f"{_power(coding):g} | {10 * math.log10(_power(coding) / usual):.1f} dB"
            rows.append(f"| {cell} | {fmt.name} | {coding.count} | {beta} | {noise} | {coding.centre:g} |")
    return rows


def _power(coding: PlaneCoding) -> float:
    return sum(beta * beta for beta in coding.weights)


if __name__ == "__main__":
    few = integer_mapping(MappingSpec(), ArraySpec(input_bits=3), UINT4)
    tables = (mappings_table(), codes_table(balanced(16)), search_table(), activations_table(UINT4))
    for table in (*tables, activations_table(INT4), codes_table(few), planes_table()):
        print("\n".join(table) + "\n")

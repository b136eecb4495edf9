"""A slow count of what an MVM does on the array, by doing it: loops over samples, tiles, vectors, passes and columns.

Independent of imctrain.cost and of the plans: sizes come from the shapes of a layer, tiles and copies from docs/.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A convolution [h, w] x [k, k, c, n] with stride s (its output [oh, ow]), or a dense layer (all sizes 1)."""

    batch: int
    image: tuple[int, int]
    out: tuple[int, int]
    kernel: int
    channels: int
    outputs: int


@dataclass(frozen=True)
class Machine:
    """rows, columns: of a macro. planes, passes, samples: J, P, s.

    segment: rows of a segment, None without. centred: whether the stored operand has a centre. gains: whether codes are
    multiplied by 1/gain of their column.
    """

    rows: int
    columns: int
    planes: int
    passes: int
    samples: int
    replicate: bool
    segment: int | None
    centred: bool
    gains: bool = False


def sizes(layer: Layer, mvm: str) -> tuple[int, int, int, int]:
    """(vectors, contraction, outputs, rows that a tile keeps together)."""
    taps = layer.kernel**2
    positions, pixels = layer.batch * math.prod(layer.out), layer.batch * math.prod(layer.image)
    if mvm == "forward":
        return positions, taps * layer.channels, layer.outputs, taps
    if mvm == "input_grad":
        return pixels, taps * layer.outputs, layer.channels, taps
    return layer.outputs, positions, taps * layer.channels, 1


def tiles_of(contraction: int, unit: int, rows: int) -> list[int]:
    """Rows of each tile: as few tiles as fit, as even as whole units allow."""
    units = contraction // unit
    count = 1
    while math.ceil(units / count) * unit > rows:
        count += 1
    size = math.ceil(units / count)
    found = []
    while units > 0:
        found.append(min(size, units) * unit)
        units -= size
    return found


def count(layer: Layer, mvm: str, machine: Machine) -> Counter[str]:
    """Events of one execution; `row_passes` are row drives whatever their code."""
    vectors, contraction, outputs, unit = sizes(layer, mvm)
    tiles = tiles_of(contraction, unit, machine.rows)
    seen: Counter[str] = Counter()
    columns = [(output, plane) for output in range(outputs) for plane in range(machine.planes)]
    macros = [columns[at : at + machine.columns] for at in range(0, len(columns), machine.columns)]
    for used in tiles:
        sharing = machine.rows
        if machine.segment is not None:
            sharing = min(math.ceil(used / machine.segment) * machine.segment, machine.rows)
        copies = max(sharing // used, 1) if machine.replicate else 1
        for macro in macros:
            for _ in macro:
                seen["written_bits"] += used * copies
        for _ in range(machine.samples):
            for _ in range(vectors):
                for _ in range(machine.passes):
                    for macro in macros:
                        seen["row_passes"] += used * copies
                        for _, plane in macro:
                            seen["conversions"] += 1
                            seen["cells"] += sharing
                            seen["plane_adds"] += 1
                            seen["gain_multiplies"] += machine.gains
                            seen["pass_multiplies"] += plane == 0
    results = [machine.samples * len(tiles)] * (vectors * outputs)
    seen["sum_adds"] = sum(partial - 1 for partial in results)
    seen["outputs"] = len(results)
    seen["row_sums"] = sum(contraction for _ in range(vectors)) if machine.centred else 0
    return seen

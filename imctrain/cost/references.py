"""The same step with its MVMs in digital arithmetic: what the array is compared with.

Only what the array computes is exchanged. Exempt layers, elementwise work and the update stay as they are, at the same
node and voltage. Operands move as often, with the width of the arithmetic; none is written into cells. `formats` keeps
the run's own formats (a radix-4 gradient times an integer is a shift and an addition) and `int8` encodes as the run
does; `bf16` and `fp32` encode nothing. Exempt layers are in FP32, so that `fp32` is float training.
"""

from __future__ import annotations

from dataclasses import dataclass

from imctrain.cost.energy import Energy
from imctrain.cost.lines import Line
from imctrain.technology.quantity import Quantity
from imctrain.technology.rates import Rates


@dataclass(frozen=True)
class Arithmetic:
    """A digital arithmetic: bits of an element (None: of the run's formats), of a result, and whether it encodes."""

    bits: int | None
    word_bits: int
    encodes: bool


ARITHMETICS = {
    "formats": Arithmetic(None, 16, True),
    "int8": Arithmetic(8, 16, True),
    "bf16": Arithmetic(16, 16, False),
    "fp32": Arithmetic(32, 32, False),
}


def mac_energy(name: str, line: Line, rates: Rates) -> Quantity:
    """Of a multiply-accumulate of an MVM in an arithmetic.

    In its own formats a gradient MVM shifts and adds; a product of integers grows with the bits of both (this project's
    decision, from int4 times int4).
    """
    if name == "formats":
        traffic = line.traffic()
        integers = line.mvm == "forward" and line.spec is not None and not line.spec.one_way
        return rates.int4_mac * (traffic.driven_bits * traffic.stored_bits / 16) if integers else rates.format_mac
    return {"int8": rates.int8_mac, "bf16": rates.bf16_mac, "fp32": rates.fp32_mac}[name]


def reference_energy(name: str, line: Line, encoding: Quantity, rates: Rates) -> Energy:
    """Of one execution of an MVM of the array in a digital arithmetic.

    Args:
        encoding: what bringing its operands to codes takes.
    """
    way = ARITHMETICS[name]
    outputs = line.plan.groups * line.plan.vectors * line.plan.outputs if line.plan is not None and way.encodes else 0
    digital = line.macs * mac_energy(name, line, rates) + outputs * rates.output
    return Energy(
        digital=digital + encoding if way.encodes else digital,
        move=line.traffic(way.bits).moved_bits(word_bits=way.word_bits) * rates.move_bit,
    )

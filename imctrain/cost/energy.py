"""Energy of events and operations: numbers times what a technology takes for one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from imctrain.cost.events import Events
from imctrain.cost.operations import Operations
from imctrain.technology.quantity import Quantity
from imctrain.technology.rates import Rates

COMPONENTS = ("adc", "array", "dac", "digital", "write", "move")
NOTHING = Quantity(0.0, 0.0, 0.0, "measured")
FUNCTION_STEPS = 4
"""Multiply-adds that an exponential, a root or a logarithm counts for (this project's decision)."""


@dataclass(frozen=True)
class Energy:
    """J, by component.

    Attributes:
        adc: converters. array: cells and bit lines. dac: row drivers. digital: additions beside the array, encoding,
            digital layers, elementwise work. write: operands into cells. move: between buffers and macros.
    """

    adc: Quantity = NOTHING
    array: Quantity = NOTHING
    dac: Quantity = NOTHING
    digital: Quantity = NOTHING
    write: Quantity = NOTHING
    move: Quantity = NOTHING

    def __add__(self, other: Energy) -> Energy:
        return Energy(**{name: getattr(self, name) + getattr(other, name) for name in COMPONENTS})

    @property
    def total(self) -> Quantity:
        """Of all components."""
        return total(getattr(self, name) for name in COMPONENTS)


def total(quantities: Iterable[Quantity]) -> Quantity:
    """Their sum; bounds add up, as if all figures erred together."""
    return sum(quantities, NOTHING)


def energy_of_events(events: Events, rates: Rates, mac: Quantity, *, shifts: bool) -> Energy:
    """Of one MVM.

    Args:
        mac: of a multiply-accumulate, where the MVM is digital. shifts: its passes' coefficients are powers of two.
    """
    digital = total(
        (
            events.plane_adds * rates.plane_add,
            # A code times 1/gain is a multiplication as that by c_p: of the same widths, here.
            events.gain_multiplies * rates.pass_multiply,
            events.pass_multiplies * (rates.plane_add if shifts else rates.pass_multiply),
            events.sum_adds * rates.sum_add,
            events.outputs * rates.output,
            (events.row_sums + events.column_sums) * rates.row_sum_add,
            events.digital_macs * mac,
        )
    )
    return Energy(
        adc=events.conversions * rates.converter,
        array=events.cells * rates.array_cell,
        dac=events.row_drives * rates.driver,
        digital=digital,
        write=events.written_bits * rates.write_bit,
        move=events.moved_bits * rates.move_bit,
    )


def energy_of_operations(operations: Operations, rates: Rates) -> Quantity:
    """Of elementwise floating-point work, in FP32 as it is simulated."""
    steps = FUNCTION_STEPS * operations.functions
    return total(
        (
            (operations.additions + steps) * rates.fp32_add,
            (operations.multiplications + steps) * rates.fp32_multiply,
            operations.random_bits * rates.random_bit,
        )
    )

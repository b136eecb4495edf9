"""What one of each operation costs at a design: a technology's figures, evaluated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imctrain.errors import UserError
from imctrain.technology.design import Design
from imctrain.technology.laws import law
from imctrain.technology.quantity import Quantity, weakest
from imctrain.technology.scaling import factor
from imctrain.technology.schema.figure import Figure, Point
from imctrain.technology.schema.technology import Technology

FARTHEST = 2.0
"""A figure is scaled to no more than twice or half its supply: no chip works over a wider span."""


@dataclass(frozen=True)
class Rates:
    """See the module; J, s, 1/s, m^2 and W. None where the technology does not know.

    Attributes:
        converter: a column conversion, the converter alone. array_cell: a cell that shares charge, per conversion of
            its column. driver: one row, one pass, one block of columns.
        plane_add, pass_multiply, sum_add, output, row_sum_add: of the digital part beside the array (`Energies`).
        write_bit: a bit into a cell. move_bit: a bit between buffer and macro.
        fp32_multiply, fp32_add, fp32_mac, bf16_mac, int8_mac: digital arithmetic. format_mac: radix-4 times int4, a
            shift and an addition. int4_mac: int4 times int4. integer_add_bit, random_bit: a bit.
        pass_s, row_write_s: s. digital_ops_per_s: 1/s. columns_per_converter, writes_overlap: of the macro.
        cell_m2, converter_m2, driver_m2: m^2. leakage_w: W a macro.
    """

    converter: Quantity
    array_cell: Quantity
    driver: Quantity
    plane_add: Quantity
    pass_multiply: Quantity
    sum_add: Quantity
    output: Quantity
    row_sum_add: Quantity
    write_bit: Quantity
    move_bit: Quantity
    fp32_multiply: Quantity
    fp32_add: Quantity
    fp32_mac: Quantity
    bf16_mac: Quantity
    int8_mac: Quantity
    format_mac: Quantity
    int4_mac: Quantity
    integer_add_bit: Quantity
    random_bit: Quantity
    pass_s: Quantity
    row_write_s: Quantity
    digital_ops_per_s: Quantity
    columns_per_converter: int
    writes_overlap: bool
    cell_m2: Quantity
    converter_m2: Quantity
    driver_m2: Quantity
    leakage_w: Quantity | None


def own_design(technology: Technology, supply_v: float | None = None) -> Design:
    """The technology's own macro at its own node; at `supply_v` V where given. Raises UserError."""
    macro = technology.macro
    return Design(
        node_nm=technology.node_nm,
        supply_v=technology.supply_v if supply_v is None else supply_v,
        rows=macro.rows,
        columns=macro.columns,
        adc_bits=macro.adc_bits,
        input_bits=macro.input_bits,
        cell=macro.cell,
    )


def rates(technology: Technology, design: Design) -> Rates:
    """Every figure at the design's node, supply, array and noise.

    A number that was measured at the design's node and supply is taken as it is. From any other it is scaled
    (`scaling.factor`) from the nearest supply, and derived at best.

    Raises:
        UserError: the supply is too far from any that the technology knows, or a law does not hold, in one line.
    """
    found = {key: _evaluated(technology, key, figure, design) for key, figure in technology.figures() if figure}
    energies = {key.removeprefix("energy."): found[key] for key in found if key.startswith("energy.")}
    leakage = technology.leakage
    return Rates(
        **energies,
        fp32_mac=energies["fp32_multiply"] + energies["fp32_add"],
        pass_s=found["time.pass"],
        row_write_s=found["time.row_write"],
        digital_ops_per_s=found["time.digital_ops"],
        columns_per_converter=technology.macro.columns_per_converter,
        writes_overlap=technology.macro.writes_overlap,
        cell_m2=found["area.cell"],
        converter_m2=found["area.converter"],
        driver_m2=found["area.driver"],
        leakage_w=None if leakage is None else _evaluated(technology, "leakage", leakage, design),
    )


def _evaluated(technology: Technology, key: str, figure: Figure, design: Design) -> Quantity:
    where = f"technology {technology.name}: {key}"
    if figure.law is not None:
        try:
            return _of_law(figure, figure.law, design)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        except (ValueError, ZeroDivisionError, OverflowError):
            raise UserError(f"{where}: law {figure.law!r} gives no number for its parameters at this design") from None
    node = figure.node_nm or technology.node_nm
    point = _nearest(figure, technology, design)
    apart = max(design.supply_v, point.supply_v) / min(design.supply_v, point.supply_v)
    if apart > FARTHEST and figure.DIMENSION != "area":
        raise UserError(
            f"{where}: supply {design.supply_v:g} V is too far from the figure's {point.supply_v:g} V: allowed is "
            f"{point.supply_v / FARTHEST:g} to {point.supply_v * FARTHEST:g} V"
        )
    scale = figure.scale * factor(figure.DIMENSION, design.node_nm, design.supply_v, node, point.supply_v)
    low = point.value if point.low is None else point.low
    high = point.value if point.high is None else point.high
    same = node == design.node_nm and (point.supply_v == design.supply_v or figure.DIMENSION == "area")
    provenance = figure.provenance if same else weakest(figure.provenance, "derived")
    return Quantity(point.value * scale, low * scale, high * scale, provenance)


def _of_law(figure: Figure, name: str, design: Design) -> Quantity:
    found = law(name)
    value = found(design, **figure.parameters)
    low = 1.0 if figure.low is None else figure.low
    high = 1.0 if figure.high is None else figure.high
    quantity = Quantity(value, value * low, value * high, figure.provenance)
    return quantity.no_better_than("derived") if found.prices_noise and design.sigma_adc_lsb > 0 else quantity


def _nearest(figure: Figure, technology: Technology, design: Design) -> Point:
    """The number at the supply that is nearest by ratio."""
    points = figure.values
    if figure.value is not None:
        supply = figure.supply_v or technology.supply_v
        points = (Point(supply_v=supply, value=figure.value, low=figure.low, high=figure.high),)
    return min(points, key=lambda point: abs(math.log(point.supply_v / design.supply_v)))

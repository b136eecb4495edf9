"""The macro's own figures, as publications print them: operations a joule, and a second and square millimetre."""

from __future__ import annotations

from dataclasses import dataclass

from imctrain.errors import UserError
from imctrain.technology.design import Design
from imctrain.technology.quantity import Quantity
from imctrain.technology.rates import own_design, rates
from imctrain.technology.schema.technology import Technology


@dataclass(frozen=True)
class Peak:
    """Of one macro whose rows and columns are all in use.

    Attributes:
        conversion_j: of a column conversion: its converter, its cells, and its share of the row drives, J.
        converter_j, array_j, driver_j: the three.
        pass_s: s. area_m2: cells, converters and drivers, m^2; digital part and buffers are not in it.
        operations: 1-b by 1-b operations of a column conversion.
        tops_per_w, tops_per_mm2: 1e12 of them a joule; a second and mm^2.
    """

    conversion_j: Quantity
    converter_j: Quantity
    array_j: Quantity
    driver_j: Quantity
    pass_s: Quantity
    area_m2: Quantity
    operations: int
    tops_per_w: Quantity
    tops_per_mm2: Quantity


def peak(technology: Technology, design: Design | None = None, supply_v: float | None = None) -> Peak:
    """The peak figures of a design; of the technology's own macro where none is given.

    An operation is a 1-b multiplication or a 1-b addition, so that a column conversion has 2 rows b of them: what
    publications call normalised to 1 b. For inputs of several bits that reading is this project's. One that
    counts codes by their swing, 2^(b-1), would give 16 in place of 5 at 5 b.

    Args:
        design: another macro. supply_v: of the technology's own macro, V; not with a design, which has its own.

    Raises:
        UserError: as `rates`.
    """
    at = own_design(technology, supply_v) if design is None else design
    found = rates(technology, at)
    array, driver = found.array_cell * at.rows, found.driver * (at.rows / at.columns)
    conversion = found.converter + array + driver
    converters = -(-at.columns // found.columns_per_converter)
    area = found.cell_m2 * (at.rows * at.columns) + found.converter_m2 * converters + found.driver_m2 * at.rows
    if not (conversion.value and found.pass_s.value and area.value):
        raise UserError(
            f"technology {technology.name}: energy, time or area of a conversion is 0: peak figures need all"
        )
    operations = 2 * at.rows * at.input_bits
    seconds, mm2 = found.pass_s, area * 1e6
    tera = operations * at.columns * 1e-12
    return Peak(
        conversion_j=conversion,
        converter_j=found.converter,
        array_j=array,
        driver_j=driver,
        pass_s=seconds,
        area_m2=area,
        operations=operations,
        tops_per_w=conversion.under(operations * 1e-12),
        tops_per_mm2=seconds.product(mm2).under(tera),
    )

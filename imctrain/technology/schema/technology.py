"""The technology file: what every operation of a chip costs, as JSON. See docs/technology.md.

A figure that the file leaves out is taken from its `base`. So a section has None where its own file says nothing, and
`files.load_technology` gives technologies that are complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from imctrain.technology.schema.base import Model, Node, Supply
from imctrain.technology.schema.figure import Area, Energy, Figure, Power, Rate, Time

Lines = Annotated[int, Field(ge=1, le=65536)]


class Macro(Model):
    """The macro that the file is of: what its peak figures are told for."""

    rows: Lines
    """Rows that share charge on a column."""
    columns: Lines
    """Columns, each with its own sum."""
    adc_bits: Annotated[int, Field(ge=1, le=24)]
    """Of a converter."""
    input_bits: Annotated[int, Field(ge=1, le=8)]
    """Of a row driver."""
    cell: Literal["and", "xnor"] = "and"
    """What a cell multiplies."""
    columns_per_converter: Lines = 1
    """Columns that one converter serves in turn; the pass time holds all of its conversions."""
    writes_overlap: bool = False
    """Whether rows are written while others compute."""
    macros: Annotated[int, Field(ge=1, le=4096)] = 1
    """On the chip; a count takes the experiment's `imc.array.macros`."""


class Energies(Model):
    """Energy of one of each."""

    converter: Energy | None = None
    """A column conversion, the converter alone."""
    array_cell: Energy | None = None
    """A cell that shares charge, per conversion of its column."""
    driver: Energy | None = None
    """Driving one row for one pass, across the columns of one macro."""
    plane_add: Energy | None = None
    """Shifting a conversion's code and adding it into the sum over planes."""
    pass_multiply: Energy | None = None
    """Multiplying by the coefficient of a pass (12 x 7 b), and adding."""
    sum_add: Energy | None = None
    """Adding the sums of two tiles, or of two samples."""
    output: Energy | None = None
    """An output: scaled, accumulated, requantised."""
    row_sum_add: Energy | None = None
    """Adding an input code into the sum of a row vector."""
    write_bit: Energy | None = None
    """Writing a bit into a cell of the array."""
    move_bit: Energy | None = None
    """Moving a bit between buffer and macro."""
    fp32_multiply: Energy | None = None
    """A multiplication in FP32."""
    fp32_add: Energy | None = None
    """An addition in FP32."""
    bf16_mac: Energy | None = None
    """A MAC of BF16 operands, accumulated in FP32."""
    int8_mac: Energy | None = None
    """A MAC of INT8 operands, accumulated in INT32."""
    format_mac: Energy | None = None
    """A digital MAC of a radix-4 and an int4 operand: a shift and an addition."""
    int4_mac: Energy | None = None
    """A digital MAC of two int4 operands."""
    integer_add_bit: Energy | None = None
    """A bit of an integer addition."""
    random_bit: Energy | None = None
    """A random bit, for stochastic rounding."""


class Times(Model):
    """Times and rates."""

    pass_: Annotated[Time | None, Field(alias="pass")] = None
    """One pass: driving the rows and converting all columns."""
    row_write: Time | None = None
    """Writing one row of a macro."""
    digital_ops: Rate | None = None
    """Operations a second of the digital part."""


class Areas(Model):
    """Areas."""

    cell: Area | None = None
    """A cell with its share of wires."""
    converter: Area | None = None
    """A converter."""
    driver: Area | None = None
    """A row driver, with its share of the array's periphery."""


class Technology(Model):
    """A technology file."""

    schema_version: str = "1.0"
    """"1.0"; another major version is refused."""
    name: Annotated[str, Field(min_length=1)]
    """What tables call it."""
    notes: str = ""
    """What it is, and what its figures do not tell."""
    base: str | None = None
    """A technology whose figures stand for those that this file leaves out, scaled to this node and supply."""
    node_nm: Node
    """Of the process, nm."""
    supply_v: Supply
    """Nominal supply, V: what a count takes where it is told no other."""
    macro: Macro
    """The macro."""
    energy: Energies = Energies()
    """Energies."""
    time: Times = Times()
    """Times."""
    area: Areas = Areas()
    """Areas."""
    leakage: Power | None = None
    """Of a macro; left out where it is not known."""

    def figures(self) -> Iterator[tuple[str, Figure | None]]:
        """(dotted key as in the file, figure or None) of every figure but the leakage."""
        for section in ("energy", "time", "area"):
            part = getattr(self, section)
            for name in type(part).model_fields:
                yield f"{section}.{name.removesuffix('_')}", getattr(part, name)

"""Names of columns as people write them: `Column [#]`, `temp_degC`, `ADC6`, `b7`."""

from __future__ import annotations

import re
from typing import NamedTuple

from imctrain.calibration.reading.units import ROLES, is_unit, unit_of


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


OTHER_NAMES: dict[str, frozenset[str]] = {
    "column": _set(
        "col columns column_index column_number column_no column_nr column_id col_index col_no col_idx adc adc_index "
        "adc_number adc_no adc_id channel chan ch bitline bl"
    ),
    "ideal": _set("v vin v_in in input inputs x expected v_ideal ideal_input stimulus"),
    "dot": _set("dot_product dotproduct mac integer_sum"),
    "code": _set(
        "codes adc_code adc_codes output_code out_code code_out adc_out adc_output output out dout d_out readout raw "
        "raw_code digital_code digital_out adc"
    ),
    "temperature_c": _set("temperature temp t"),
    "vdd_v": _set("vdd supply supply_voltage"),
    "time_s": _set("time t elapsed elapsed_time"),
    "range": _set("reference_range ref_range"),
    "die": _set("die_id chip chip_id dut"),
    "repeat": _set("rep repetition iteration trial shot"),
}
"""Names that a role goes by where no column has its own; those of optional roles count with a unit that fits alone."""
RANGE_SYMBOL = "r"
"""The page's symbol of the reference range."""
RANGE_BY_VALUES = OTHER_NAMES["range"] | {RANGE_SYMBOL}
"""Names that are the reference range's without a unit too, where their values can be ranges."""
MAY_BE_RANGE = RANGE_BY_VALUES | _set(
    "rfs r_fs full_scale fullscale full_scale_range fsr range_fs vfs v_fs vref v_ref reference_voltage "
    "adc_range adc_ref adc_fs adc_full_scale input_range code_range"
)
"""Names that are told as a possible reference range where nothing is read from them."""
BIT_NAMES = _set("b bit bits d q db dout data code_b code_bit adc_b adc_bit out_b")
"""What numbered columns are called that hold a bit each."""
ONLY_BITS = _set("b bit bits code_bit adc_bit")
REPEAT_NAMES = _set(
    "code codes value repeat rep run shot sample trial read reading meas measurement conversion conv out y"
)
"""What numbered columns are called that hold conversions of one input, where another column names the ADC."""
LSB_WORDS = ("lsb", "lsbs", "code", "codes", "count", "counts")
_BRACKETS = re.compile(r"^(.*?)\s*[\[({<]\s*([^\[\](){}<>]*?)\s*[\])}>]$")
_NUMBERED = re.compile(r"^(.*?)[\s_\-.]*[\[<({]?(\d{1,5})[\]>)}]?$")


class Name(NamedTuple):
    """A header as written, in lower case without its unit, with `_` between words, and its unit ("" for none)."""

    header: str
    stem: str
    base: str
    unit: str

    @property
    def exact(self) -> str:
        """As the page spells names, where nothing but case and blanks around it differs."""
        return self.header.strip().lower()


def name_of(header: str, unit: str = "") -> Name:
    """Name and unit in a header; `unit` is what a row of units says, and goes before."""
    text = header.strip().strip("\"'\ufeff").strip()
    found = ""
    bracket = _BRACKETS.match(text)
    if bracket is not None and bracket[1].strip() and not bracket[2].isdigit():
        text, found = bracket[1], bracket[2]
    else:
        for sign in ("/", ","):
            left, there, right = text.rpartition(sign)
            if there and left.strip() and right.strip() and is_unit(right):
                text, found = left, right
                break
    base = _joined(text)
    if not found and base not in ROLES and not any(base in others for others in OTHER_NAMES.values()):
        base, found = _unit_at_end(base)
    return Name(header, text.strip().lower(), base, unit.strip().strip("[](){}") or found)


def _joined(text: str) -> str:
    return re.sub(r"[\s\-./:]+", "_", text.strip().lower()).strip("_")


def _unit_at_end(base: str) -> tuple[str, str]:
    """`temp_degc` -> ("temp", "degc"), where the name and the unit belong together."""
    for words in (2, 1):
        parts = base.rsplit("_", words)
        if len(parts) <= words:
            continue
        stem, unit = parts[0], " ".join(parts[1:])
        for role, others in OTHER_NAMES.items():
            own = role.removesuffix("_c").removesuffix("_v").removesuffix("_s")
            if (stem in others or stem in (role, own)) and unit[:1].isalpha() and unit_of(role, unit) is not None:
                return stem, unit
    return base, ""


class Likeness(NamedTuple):
    """How a header comes to stand for a role: 0 by its very name, 1 with a unit, 2 by another name."""

    rank: int
    role: str


def roles_like(name: Name) -> list[Likeness]:
    """The roles that a header may stand for, the nearest first."""
    if name.exact in ROLES:
        return [Likeness(0, name.exact)]
    found = []
    for role in ROLES:
        if name.base == role:
            found.append(Likeness(1, role))
        elif _goes_by(name, role):
            found.append(Likeness(2, role))
    if name.base in ("value", "reading", "result", "data") and name.unit.lower() in LSB_WORDS:
        found.append(Likeness(2, "code"))
    return sorted(found)


def _goes_by(name: Name, role: str) -> bool:
    """Whether a header is another name of a role; of optional ones it counts with a unit that fits alone."""
    if name.base not in OTHER_NAMES[role] and not (role == "range" and name.base == RANGE_SYMBOL):
        return False
    needed = role in ("column", "ideal", "dot", "code")
    return needed or (bool(name.unit) and unit_of(role, name.unit) is not None)


def numbered(name: Name) -> tuple[str, int] | None:
    """(what stands before it, number) of a header such as `col_3`, `ADC<3>` or `3`."""
    match = _NUMBERED.match(name.stem)
    return None if match is None else (_joined(match[1]), int(match[2]))

"""What the columns of a file may stand for, and the units that each may be in."""

from __future__ import annotations

import re
from typing import NamedTuple

ROLES = ("column", "ideal", "dot", "code", "range", "die", "temperature_c", "vdd_v", "time_s", "repeat")


class Unit(NamedTuple):
    """value = (number + shift) * factor; then over full scale for `volts`, over the codes of a v for `lsb`.

    plain: nothing is done, as for a number in the unit that is meant.
    """

    factor: float = 1.0
    shift: float = 0.0
    of: str = ""

    @property
    def plain(self) -> bool:
        """Whether numbers stay as they are."""
        return self.factor == 1.0 and self.shift == 0.0 and self.of in ("", "hex", "binary")


_AS_IS = dict.fromkeys(("", "-", "1", "#", "none"), Unit())
_FRACTION = (
    _AS_IS
    | dict.fromkeys(
        ("fs", "v/v", "v/vref", "full scale", "fraction", "frac", "norm", "normalized", "normalised"), Unit()
    )
    | dict.fromkeys(("au", "a.u.", "rel", "ratio", "x fs", "of fs", "of full scale"), Unit())
    | dict.fromkeys(("%", "pct", "percent", "%fs", "% fs", "% of fs"), Unit(0.01))
    | dict.fromkeys(("v", "volt", "volts"), Unit(of="volts"))
    | dict.fromkeys(("mv", "millivolt", "millivolts"), Unit(1e-3, of="volts"))
    | {"uv": Unit(1e-6, of="volts")}
)
_COUNTED = _AS_IS | dict.fromkeys(("no", "no.", "nr", "nr.", "num", "index", "idx", "id", "n"), Unit())
_LSB = ("lsb", "lsbs", "code", "codes", "count", "counts", "dn", "adu")
UNITS: dict[str, dict[str, Unit]] = {
    "column": _COUNTED,
    "ideal": _FRACTION | dict.fromkeys(_LSB, Unit(of="lsb")),
    "dot": _AS_IS | dict.fromkeys(("int", "integer", *_LSB), Unit()),
    "code": _AS_IS
    | dict.fromkeys((*_LSB, "dec", "decimal", "int", "integer", "digital", "signed", "unsigned"), Unit())
    | dict.fromkeys(("hex", "hexadecimal", "0x"), Unit(of="hex"))
    | dict.fromkeys(("bin", "binary"), Unit(of="binary"))
    | dict.fromkeys(("v", "mv", "volt", "volts"), Unit(of="analog")),
    "range": _FRACTION,
    "die": _COUNTED,
    "temperature_c": dict.fromkeys(("c", "degc", "deg c", "deg_c", "celsius", "degrees celsius"), Unit())
    | dict.fromkeys(("k", "kelvin", "degk"), Unit(shift=-273.15))
    | dict.fromkeys(("f", "degf", "deg f", "fahrenheit"), Unit(1 / 1.8, -32.0)),
    "vdd_v": dict.fromkeys(("v", "volt", "volts"), Unit())
    | dict.fromkeys(("mv", "millivolt", "millivolts"), Unit(1e-3)),
    "time_s": dict.fromkeys(("s", "sec", "secs", "second", "seconds"), Unit())
    | dict.fromkeys(("ms", "msec", "milliseconds"), Unit(1e-3))
    | dict.fromkeys(("us", "usec", "microseconds"), Unit(1e-6))
    | {"ns": Unit(1e-9), "min": Unit(60.0), "minutes": Unit(60.0), "h": Unit(3600.0), "hours": Unit(3600.0)},
    "repeat": _COUNTED,
}
_SHOWN = {
    "ideal": ("fs", "%", "v", "mv", "uv", "lsb"),
    "range": ("fs", "%", "v", "mv", "uv"),
    "temperature_c": ("c", "k", "f"),
    "vdd_v": ("v", "mv"),
    "time_s": ("s", "ms", "us", "ns", "min", "h"),
}
_SIGNS = str.maketrans({"°": "", "º": "", "˚": "", "µ": "u", "μ": "u", "\N{REPLACEMENT CHARACTER}": "", "_": " "})


def normal_unit(text: str) -> str:
    """A unit as `UNITS` spells it: lower case, no degree sign, `u` for micro."""
    return re.sub(r"\s+", " ", text.lower().translate(_SIGNS)).strip(" '\"")


def unit_of(role: str, text: str) -> Unit | None:
    """What a unit does to the numbers of a role; None for one that is not known."""
    return UNITS[role].get(normal_unit(text))


def words_of(role: str) -> tuple[str, ...]:
    """The units that --unit takes for a role."""
    return _SHOWN.get(role, ())


def is_unit(text: str) -> bool:
    """Whether a text is a unit of any role."""
    word = normal_unit(text.strip().strip("[](){}"))
    return any(word in units for units in UNITS.values())

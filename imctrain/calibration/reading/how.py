"""How a file is to be read, where its reader says so rather than leave it to the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from imctrain.calibration.options import require
from imctrain.calibration.reading.codes import CodeForm
from imctrain.calibration.reading.encoding import checked_encoding
from imctrain.calibration.reading.numbers import Base
from imctrain.calibration.reading.units import ROLES, words_of
from imctrain.errors import UserError

BASES: tuple[Base, ...] = ("decimal", "hex", "binary")
FORMS: tuple[CodeForm, ...] = ("signed", "twos-complement", "offset-binary")
SEPARATORS = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "pipe": "|",
    "blanks": " ",
    "blank": " ",
    "space": " ",
    "\\t": "\t",
}


@dataclass(frozen=True)
class HowToRead:
    """What is said of a file of conversions.

    Attributes:
        leave_out_missing: go on without rows that lack a value, however many.
        skip_bad: share of rows, at most, that may be left out because they cannot be right.
        full_scale: volts of v = 1, for inputs (and ranges) in volts.
        base, form: how codes are written and what their bits mean; None: by what the file says.
        fields: header of each role that is named, (role, header). units: (role, unit). ignore: headers not to use.
        first_column: the number of the first column in the file.
        separator, decimal, encoding: None: by what the file says.

    Raises:
        UserError: what no file can have.
    """

    leave_out_missing: bool = False
    skip_bad: float = 0.0
    full_scale: float | None = None
    base: Base | None = None
    form: CodeForm | None = None
    fields: tuple[tuple[str, str], ...] = ()
    units: tuple[tuple[str, str], ...] = ()
    ignore: tuple[str, ...] = ()
    first_column: int = 0
    separator: str | None = None
    decimal: Literal["point", "comma"] | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        require(0.0 <= self.skip_bad < 1.0, "--skip-bad", self.skip_bad, "a fraction of the rows, 0 to below 1")
        possible = self.full_scale is None or 0.0 < self.full_scale < 1e4
        require(possible, "--full-scale", self.full_scale, "above 0 and below 10000 (volts)")
        require(0 <= self.first_column <= 65535, "--first-column", self.first_column, "0 to 65535")
        require(self.decimal in (None, "point", "comma"), "--decimal", self.decimal, "point or comma")
        if self.encoding is not None:
            checked_encoding(self.encoding)
        for role, _ in self.fields:
            require(role in ROLES, "--field", role, f"NAME=HEADER with NAME one of {', '.join(ROLES)}")
        for role, unit in self.units:
            require(role in ROLES, "--unit", role, f"NAME=UNIT with NAME one of {', '.join(ROLES)}")
            known = words_of(role)
            require(unit.strip().lower() in known, f"--unit {role}", unit, ", ".join(known) or "none")


AS_THE_FILE_SAYS = HowToRead()
"""Nothing is said besides."""


def separator_of(word: str | None) -> str | None:
    """What separates fields, by its name or as it is. Raises UserError for another."""
    if word is None:
        return None
    found = SEPARATORS.get(word.strip().lower() or "blank", word)
    if found not in SEPARATORS.values():
        raise UserError(f"--separator {word!r} is not possible: allowed are {', '.join(list(SEPARATORS)[:5])}")
    return found


def codes_of(text: str | None) -> tuple[Base | None, CodeForm | None]:
    """(base, form) that --codes tells, such as "hex,twos-complement". Raises UserError for another word."""
    bases: list[Base] = []
    forms: list[CodeForm] = []
    for word in [] if text is None else text.split(","):
        word = word.strip().lower()
        if word in BASES and not bases:
            bases.append(BASES[BASES.index(word)])
        elif word in FORMS and not forms:
            forms.append(FORMS[FORMS.index(word)])
        else:
            allowed = f"one of {', '.join(BASES)}, one of {', '.join(FORMS)}, or both with a comma"
            raise UserError(f"--codes {text} is not possible: allowed is {allowed}")
    return bases[0] if bases else None, forms[0] if forms else None


def pairs(option: str, texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(name, value) of options such as --unit range=V. Raises UserError where there is no `=`."""
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        require(bool(equals and name.strip() and value.strip()), option, text, "NAME=VALUE")
        found.append((name.strip().lower(), value.strip()))
    return tuple(found)

"""Numbers as instruments and people write them, column by column: signs, decimal marks, hexadecimal, names of ADCs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

Base = Literal["decimal", "hex", "binary"]

MINUS = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe58\ufe63\uff0d"
"""Hyphens and dashes that stand for a minus."""
BLANKS = " \t\r\n\x0b\x0c\u00a0\u2007\u2009\u202f\ufeff\x00\x1a"
_MINUS_CLASS = f"[{MINUS}]"
MISSING = ("", "na", "n/a", "#n/a", "null", "none", "-", "--", "---")
"""What stands in a field without a value."""
DECIMAL_COMMA = r"^[+-]?\d*,\d+(?:[eE][+-]?\d+)?$"
_HEX = (
    r"^0x([0-9a-f]+)$",
    r"^([0-9a-f]+)h$",
    r"^\d*'s?h([0-9a-f]+)$",
    r"^16#([0-9a-f]+)#?$",
    r"^[$]([0-9a-f]+)$",
    r"^[xh]['\"]?([0-9a-f]+)['\"]?$",
)
_BINARY = (r"^0b([01]+)$", r"^\d*'s?b([01]+)$", r"^2#([01]+)#?$", r"^b['\"]([01]+)['\"]$")
_PATTERNS = tuple(re.compile(pattern, re.IGNORECASE) for pattern in (*_HEX, *_BINARY))
_NAMED = r"^([^0-9+\-.,].*?)(\d{1,9})\W*$"
_PLAIN_DECIMAL = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$")


def cleaned(text: pl.Expr) -> pl.Expr:
    """Without blanks around it, and with the minus of ASCII."""
    return text.str.strip_chars(BLANKS).str.replace_all(_MINUS_CLASS, "-")


def is_missing(text: pl.Expr) -> pl.Expr:
    """Whether a field says that it has no value."""
    return cleaned(text).str.to_lowercase().is_in(MISSING)


def number(text: pl.Expr, commas: bool) -> pl.Expr:
    """Decimal numbers as float64, null for what is none.

    Args:
        commas: a comma is a decimal mark.
    """
    import polars as pl

    def with_point(clean: pl.Expr) -> pl.Expr:
        # What has a point besides, or two commas, is no number then.
        return clean.str.replace(",", ".", literal=True) if commas else clean

    def quick(plain: pl.Expr) -> pl.Expr:
        return with_point(plain.str.strip_chars(" ")).cast(pl.Float64, strict=False)

    def slow(any_text: pl.Expr) -> pl.Expr:
        # Fortran and MATLAB write exponents with a D.
        clean = with_point(cleaned(any_text)).str.replace(r"^([+-]?[\d.]+)[dD]([+-]?\d+)$", "${1}e${2}")
        return clean.cast(pl.Float64, strict=False)

    return _where_needed(text, quick, slow)


def pattern(text: pl.Expr, base: Base) -> pl.Expr:
    """Hexadecimal or binary numbers as float64, null for what is none; where no prefix tells, they are of `base`."""
    import polars as pl

    def taken(clean: pl.Expr, expressions: tuple[str, ...], radix: int) -> list[pl.Expr]:
        return [clean.str.extract(e, 1).str.to_integer(base=radix, strict=False) for e in expressions]

    def quick(plain: pl.Expr) -> pl.Expr:
        # 0b1 is hexadecimal too, without its prefix: what the file is decides.
        prefix, radix = ("0b", 2) if base == "binary" else ("0x", 16)
        lower = plain.str.to_lowercase()
        digits = pl.when(lower.str.starts_with(prefix)).then(lower.str.strip_prefix(prefix))
        return digits.str.to_integer(base=radix, strict=False).cast(pl.Float64)

    def slow(any_text: pl.Expr) -> pl.Expr:
        clean = cleaned(any_text).str.to_lowercase().str.replace_all("_", "", literal=True)
        own = taken(clean, (r"^([01]+)$" if base == "binary" else r"^([0-9a-f]+)$",), 2 if base == "binary" else 16)
        hexadecimal, binary = taken(clean, _HEX, 16), taken(clean, _BINARY, 2)
        order = [*binary, *own, *hexadecimal] if base == "binary" else [*hexadecimal, *own, *binary]
        return pl.coalesce(order).cast(pl.Float64)

    return _where_needed(text, quick, slow)


def column_number(text: pl.Expr, commas: bool, prefix: str) -> pl.Expr:
    """Numbers of columns, also at the end of a name (`ADC6`, `Col 3`, `ch[2]`); null for names of another prefix."""
    import polars as pl

    if not prefix:
        return number(text, commas)

    def quick(plain: pl.Expr) -> pl.Expr:
        lower = plain.str.to_lowercase()
        digits = pl.when(lower.str.starts_with(prefix)).then(lower.str.strip_prefix(prefix))
        return digits.cast(pl.UInt32, strict=False).cast(pl.Float64)

    def slow(any_text: pl.Expr) -> pl.Expr:
        named = cleaned(any_text).str.extract(_NAMED, 2).cast(pl.Float64, strict=False)
        return pl.when(column_prefix(any_text) == prefix).then(named)

    return _where_needed(text, quick, slow)


def _where_needed(text: pl.Expr, quick: Callable[[pl.Expr], pl.Expr], slow: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    """`quick` of a text, and where that gives null `slow`, which costs more and takes more."""
    import polars as pl

    def read(values: pl.Series) -> pl.Series:
        name = values.name
        found = values.to_frame().select(quick(pl.col(name))).to_series()
        rest = (found.is_null() & values.is_not_null()).arg_true()
        if len(rest) == 0:
            return found
        return found.scatter(rest, values.gather(rest).to_frame().select(slow(pl.col(name))).to_series())

    return text.map_batches(read, return_dtype=pl.Float64)


def column_prefix(text: pl.Expr) -> pl.Expr:
    """What stands before the number of a named column, in lower case; null for a bare number."""
    return cleaned(text).str.extract(_NAMED, 1).str.to_lowercase()


def looks_decimal(text: str, comma: bool = False) -> bool:
    """Whether a field is a decimal number, or has no value."""
    clean = re.sub(_MINUS_CLASS, "-", text.strip(BLANKS))
    if clean.lower() in (*MISSING, "nan", "inf", "-inf"):
        return True
    return bool(_PLAIN_DECIMAL.match(clean)) or (comma and bool(re.match(DECIMAL_COMMA, clean)))


def has_decimal_comma(text: str) -> bool:
    """Whether a field is a number with a comma in it."""
    return bool(re.match(DECIMAL_COMMA, re.sub(_MINUS_CLASS, "-", text.strip(BLANKS))))


def looks_data(text: str) -> bool:
    """Whether a field can stand in a row of data: a number of any kind, a name with one, or no value."""
    return looks_decimal(text, comma=True) or any(character.isdigit() for character in text)


def base_of(texts: list[str]) -> Base | None:
    """How the codes of a sample are written: their prefixes tell; None where they do not agree on one."""
    clean = [text.strip(BLANKS).replace("_", "") for text in texts]
    clean = [text for text in clean if text.lower() not in MISSING]
    if not clean or all(looks_decimal(text, comma=True) for text in clean):
        return "decimal"
    half = len(clean) / 2
    hexadecimal, binary = _PATTERNS[: len(_HEX)], _PATTERNS[len(_HEX) :]
    if sum(any(p.match(text) for p in binary) for text in clean) > half:
        return "binary"
    return "hex" if sum(any(p.match(text) for p in hexadecimal) for text in clean) > half else None


def bare_hex(texts: list[str]) -> bool:
    """Whether codes look like hexadecimal digits without any prefix."""
    clean = [text.strip(BLANKS) for text in texts if text.strip(BLANKS)]
    digits = [bool(re.fullmatch(r"[0-9A-Fa-f]{1,4}", text)) for text in clean]
    letters = sum(any(c.isalpha() for c in text) for text in clean)
    return bool(clean) and sum(digits) > 0.9 * len(clean) and letters > 0.1 * len(clean)

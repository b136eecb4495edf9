"""What every section of the settings tree shares: frozen, checked as it is made, told in one line where it cannot be.

A setting is declared once, as a field of a section: its type, its bounds, its default, and what it means, in the
string below it. The TOML table, the hardware of a site, the keys of rules and of `--set`, the JSON schema and the table
of keys in docs/settings.md are all read from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Optional, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imctrain.errors import UserError, quoted
from imctrain.limits import Bounds
from imctrain.settings.keys import unknown_key

T = TypeVar("T")
if TYPE_CHECKING:
    OrCalibrations = Annotated[T, "filled by Hardware"]
else:
    OrCalibrations = Optional
"""A figure that a calibration also has: None, the default, is the calibration's. `Hardware` fills it, so that whoever
reads a hardware's settings meets no None."""
FROM_CALIBRATION: Any = None


def within(bounds: Bounds) -> Any:
    """The annotation that holds a number to its bounds."""
    return Field(gt=bounds.low, le=bounds.high) if bounds.above else Field(ge=bounds.low, le=bounds.high)


class NotPossible(ValueError):
    """A combination of settings that no single bound tells.

    Attributes:
        key: of the setting to blame, within its section. found: what it was. allowed: in words.
    """

    def __init__(self, key: str, found: object, allowed: str):
        super().__init__(f"{key} = {quoted(found)} is not possible: allowed is {allowed}")
        self.key, self.found, self.allowed = key, found, allowed


class Section(BaseModel):
    """A table of settings: frozen, hashable, compared by value."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
    PREFIX: ClassVar[str] = ""
    """Key of the section where it is made in Python, with its dot: "adc."."""

    if not TYPE_CHECKING:  # type checkers see the constructor that pydantic makes

        def __init__(self, **settings):
            try:
                super().__init__(**settings)
            except ValidationError as error:
                raise UserError(problem(error, type(self), self.PREFIX)) from None

        # Tables within tables are validated by pydantic, which tells where in the whole a problem is.
        __init__.__pydantic_base_init__ = True

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings replaced, checked as a new one. Raises UserError for what is not possible."""
        return type(self)(**(dict(self) | changes))

    def filled(self, figures: Mapping[str, Any]) -> Self:
        """A copy with `figures` in place of those settings of theirs that are None."""
        missing = {key: value for key, value in figures.items() if getattr(self, key) is None}
        return self.replace(**missing) if missing else self

    @classmethod
    def sections(cls) -> dict[str, type[Section]]:
        """Fields that are tables themselves, or arrays of tables."""
        return {name: inner for name, field in cls.model_fields.items() if (inner := _section_of(field.annotation))}

    @classmethod
    def dotted_keys(cls, prefix: str = "") -> Iterator[str]:
        """Every dotted key of the section and of those below it, in the order of their declaration."""
        inner = cls.sections()
        for name in cls.model_fields:
            if name in inner:
                yield from inner[name].dotted_keys(f"{prefix}{name}.")
            else:
                yield prefix + name


def problem(error: ValidationError, section: type[Section], prefix: str = "") -> str:
    """The first problem of a validation, in one line: the key, what was found, what is allowed.

    Args:
        section: what was validated. prefix: of its keys.
    """
    # A misspelt key is also missing under its right name: the misspelling is what to show.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    return explain(first, section, prefix)


def explain(error: Any, section: type[Section], prefix: str = "") -> str:
    """One of pydantic's errors in a line, see `problem`."""
    keys = tuple(str(part) for part in error["loc"])
    dotted = prefix + ".".join(keys)
    if error["type"] == "extra_forbidden":
        return f"{dotted} is an unknown key; {unknown_key(keys, tuple(section.dotted_keys()), prefix)}"
    if error["type"] == "missing":
        return f"{dotted} is missing"
    if error["type"] == "value_error":
        why = error["ctx"]["error"]
        if isinstance(why, NotPossible):
            return f"{dotted}{'.' if keys else ''}{why}"
        return f"{dotted}: {why}" if dotted else str(why)
    found = error["input"]
    if error["type"] in _BOUNDS and (bounds := _bounds_at(keys, section)):
        return f"{dotted} = {quoted(found)} is not possible: allowed is {bounds}"
    if error["type"] == "literal_error":
        return f"{dotted} = {quoted(found)} is not possible: allowed is {error['ctx']['expected']}"
    expected = _TYPES.get(error["type"]) or error["msg"].removeprefix("Input should be ").removeprefix("String should ")
    return f"{dotted} = {quoted(found)} is not possible: it should be {expected}"


_BOUNDS = {"greater_than_equal", "greater_than", "less_than_equal", "finite_number"}
"""Errors of pydantic that both bounds of a number tell better than the one that was met."""

_NAME = "letters, digits, '.', '_' and '-', with a letter or digit first"
_TYPES = {"model_type": "a table", "dict_type": "a table", "tuple_type": "a list", "string_pattern_mismatch": _NAME}
_TYPES["string_too_long"] = "shorter: at most 120 letters"
"""What pydantic's errors expect, in the words of TOML."""


def _section_of(annotation: Any) -> type[Section] | None:
    """The section in an annotation: itself, optional, or in a tuple."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    inner = getattr(annotation, "__args__", ())
    return next((found for part in inner if (found := _section_of(part))), None)


def _bounds_at(keys: tuple[str, ...], section: type[Section]) -> Bounds | None:
    """Both bounds of the number at a key, or None where it has none."""
    names = [key for key in keys if not key.isdigit()]
    for name in names[:-1]:
        inner = section.sections().get(name)
        if inner is None:
            return None
        section = inner
    field = section.model_fields.get(names[-1]) if names else None
    if field is None:
        return None
    found: dict[str, Any] = {}
    for item in (*field.metadata, *_metadata(field.annotation)):
        found |= {name: getattr(item, name) for name in ("ge", "gt", "le", "lt") if hasattr(item, name)}
    if "le" not in found or not found.keys() & {"ge", "gt"}:
        return None
    low = found["gt"] if "gt" in found else found["ge"]
    return Bounds(low, found["le"], "gt" in found)


def _metadata(annotation: Any) -> Iterator[Any]:
    """What `Annotated` says anywhere within an annotation, pydantic's own wrappers opened."""
    for item in getattr(annotation, "__metadata__", ()):
        yield from getattr(item, "metadata", (item,))
    for inner in getattr(annotation, "__args__", ()):
        yield from _metadata(inner)

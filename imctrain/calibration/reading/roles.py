"""What each column of a file stands for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from imctrain.calibration.reading.how import HowToRead
from imctrain.calibration.reading.names import (
    BIT_NAMES,
    MAY_BE_RANGE,
    ONLY_BITS,
    OTHER_NAMES,
    REPEAT_NAMES,
    Likeness,
    Name,
    name_of,
    numbered,
    roles_like,
)
from imctrain.calibration.reading.units import ROLES, Unit, unit_of
from imctrain.errors import UserError

MARK = "simulated"
"""Column by which rows of the virtual chip are marked."""
COLUMN_NAMES = OTHER_NAMES["column"] | {"column"}
"""Names under which one numbered column is a table of one ADC."""
MOST_BITS = 24
NEEDED = ("column", "ideal", "dot", "code")
NO_CODES = frozenset(ROLES).union(*OTHER_NAMES.values()) - OTHER_NAMES["column"] - OTHER_NAMES["code"] - {*NEEDED[::3]}
"""Names that tell something else than codes, numbered or not."""


@dataclass(frozen=True)
class Field:
    """One column of the file. index: its place, from 0. rank: see `names.Likeness`; -1 where an option names it."""

    index: int
    header: str
    unit: Unit
    unit_text: str
    rank: int


@dataclass(frozen=True)
class Series:
    """Codes beside each other in a row. role: what their numbers are, `column` or `repeat`, or `bit` of one code."""

    role: str
    prefix: str
    numbers: tuple[int, ...]
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Roles:
    """What is read of a file.

    Attributes:
        names: of all columns. fields: the column of each role. series: codes of a wide table.
        mark: place of the column `simulated`, if there is one.
        twice: roles that two columns claim alike, with their headers.
        could_be: headers that are not used, and the role that they might stand for.
        unknown_units: headers with a unit that is not known.
    """

    names: tuple[Name, ...]
    fields: dict[str, Field]
    series: Series | None = None
    mark: int | None = None
    twice: dict[str, tuple[str, ...]] = field(default_factory=dict)
    could_be: tuple[tuple[str, str], ...] = ()
    unknown_units: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Roles that calibration needs and the file does not have."""
        told = set(self.fields) | (set() if self.series is None else {"code", self.series.role})
        wanted = [role for role in ("column", "code") if role not in told]
        return wanted + ([] if self.inputs else ["ideal (or dot)"])

    @property
    def inputs(self) -> list[str]:
        """Of `ideal` and `dot` those that the file has."""
        return [role for role in ("ideal", "dot") if role in self.fields]

    @property
    def complete(self) -> bool:
        """Whether a header with these names can be that of conversions."""
        return not self.missing

    @property
    def nearly(self) -> bool:
        """Whether a header with these names was meant as one."""
        return len(self.missing) < 3 and any(f.rank == 0 for f in self.fields.values())


def find_roles(headers: Sequence[str], how: HowToRead, units: Sequence[str] = (), ranged: str | None = None) -> Roles:
    """By the names of columns, and what `how` says of them.

    Args:
        units: of a row of units below the header. ranged: the header that is the reference range by its values.
    """
    shown = [*units, *[""] * (len(headers) - len(units))]
    names = tuple(name_of(header, unit) for header, unit in zip(headers, shown, strict=False))
    ignored = {text.strip().lower() for text in how.ignore}
    free = {i: name for i, name in enumerate(names) if name.header.strip() and name.exact not in ignored}
    mark = next((i for i, name in free.items() if name.exact == MARK), None)
    claimed: dict[Likeness, list[int]] = defaultdict(list)
    for i, name in free.items():
        for like in roles_like(name):
            claimed[like].append(i)
    fields: dict[str, Field] = {}
    twice: dict[str, tuple[str, ...]] = {}
    unknown: list[str] = []

    def take(role: str, index: int, rank: int) -> None:
        fields[role] = _field(role, index, free.pop(index), rank, how, unknown)

    for role, header in how.fields:
        index = next((i for i, name in free.items() if name.exact == header.strip().lower()), None)
        if index is not None:
            take(role, index, -1)
    if ranged is not None and "range" not in fields:
        take("range", next(i for i, name in free.items() if name.header.strip() == ranged), 2)
    series = None
    for rank in (0, 1, 2):
        if rank == 2:
            series = _series(free, fields)
            if series is not None:
                free = {i: name for i, name in free.items() if i not in series.indices}
        for role in ROLES:
            if role in fields or _covered(role, fields, series, rank):
                continue
            claims = [i for i in claimed.get(Likeness(rank, role), ()) if i in free]
            if len(claims) > 1 and rank == 2 and role not in NEEDED:
                continue
            if len(claims) > 1:
                twice[role] = tuple(free[i].header.strip() for i in claims)
            if claims:
                take(role, claims[0], rank)
    if series is None:
        series = _series(free, fields)
    could_be = tuple(
        (name.header.strip(), role)
        for name in free.values()
        for role in ("temperature_c", "vdd_v", "time_s", "die", "range", "repeat")
        if role not in fields and _might_be(name, role)
    )
    return Roles(names, fields, series, mark, twice, could_be, tuple(unknown))


def _covered(role: str, fields: dict[str, Field], series: Series | None, rank: int) -> bool:
    """Whether a role is told otherwise already, so that no other name needs to be guessed for it."""
    if rank < 2:
        return False
    if role in ("ideal", "dot"):
        return "ideal" in fields or "dot" in fields
    return series is not None and role in ("code", series.role)


def _might_be(name: Name, role: str) -> bool:
    names = MAY_BE_RANGE if role == "range" else OTHER_NAMES[role]
    return name.base in names and name.base not in ("t",)


def _field(role: str, index: int, name: Name, rank: int, how: HowToRead, unknown: list[str]) -> Field:
    given = dict(how.units).get(role)
    text = name.unit if given is None else given
    unit = unit_of(role, text)
    if unit is None:
        if text:
            unknown.append(name.header.strip())
        unit = Unit()
    return Field(index, name.header.strip(), unit, text, rank)


def _series(free: dict[int, Name], fields: dict[str, Field]) -> Series | None:
    """The largest family of numbered columns that can be codes."""
    if "code" in fields:
        return None
    families: dict[str, dict[int, int]] = defaultdict(dict)
    for index, name in free.items():
        found = numbered(name)
        if found is not None and name.exact not in ROLES:
            families[found[0]].setdefault(found[1], index)
    has_column = "column" in fields or any(name.base in OTHER_NAMES["column"] for name in free.values())
    best: Series | None = None
    for prefix, members in families.items():
        alone = len(members) == 1 and (has_column or prefix not in COLUMN_NAMES)
        if alone or (best is not None and len(members) <= len(best.numbers)):
            continue
        numbers = tuple(sorted(members))
        role = _role_of_family(prefix, numbers, has_column)
        if role is not None:
            # In the order of the file, as the instrument went through them.
            order = numbers if role == "bit" else tuple(sorted(members, key=members.__getitem__))
            best = Series(role, prefix, order, tuple(members[n] for n in order))
    return best


def _role_of_family(prefix: str, numbers: tuple[int, ...], has_column: bool) -> str | None:
    from_zero = numbers == tuple(range(len(numbers))) and len(numbers) <= MOST_BITS
    if not has_column:
        return None if prefix in ONLY_BITS or prefix in NO_CODES else "column"
    if prefix in BIT_NAMES and from_zero:
        return "bit"
    return "repeat" if prefix in REPEAT_NAMES else None


def refuse_roles(where: str, roles: Roles, how: HowToRead) -> None:
    """Raises UserError, beginning with `where`, for a header that does not tell one table of conversions."""
    there = ", ".join(repr(name.header.strip()) for name in roles.names)
    for option, headers in (("--field", [header for _, header in how.fields]), ("--ignore", how.ignore)):
        absent = [h for h in headers if not any(name.exact == h.strip().lower() for name in roles.names)]
        if absent:
            raise UserError(f"{where} has no {absent[0]!r} that {option} names, only {there[:200]}")
    for role, headers in roles.twice.items():
        if len({header.lower() for header in headers}) == 1:
            raise UserError(f"{where} names {role!r} twice: delete one of the two")
        told = " and ".join(map(repr, headers))
        raise UserError(f"{where} has {told}, which may both be {role!r}: choose with --field {role}=HEADER")
    if roles.missing:
        raise UserError(
            f"{where} lacks {_listed(roles.missing)}; it names {there[:200]}: needed are column, ideal (or dot) and "
            "code, one row per conversion; --field NAME=HEADER says which is which"
        )
    if len(roles.inputs) == 2:
        raise UserError(f"{where} has both ideal and dot: delete one, they say the same")


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

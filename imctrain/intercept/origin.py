"""Which parameter a value was made of, and in which part of a model: what sites are named after.

origin   of a value that holds no data: the largest parameter that flows into it, so that a scale or a mask that the
         parameter is multiplied by does not count
place    of data: the module (parts of a path) of the matmul that made it; what comes from several is of the
         part that they have in common. What only moves values or adds to them changes no place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

Place: TypeAlias = tuple[str, ...]
"""Parts of a path; none where the whole model is all that is known."""


class Origin(NamedTuple):
    """A trained parameter: the path that a site is called by, and its number of values."""

    path: str
    size: int


def largest(origins: Iterable[Origin | None]) -> Origin | None:
    """The first of the largest ones."""
    return max((origin for origin in origins if origin is not None), key=lambda origin: origin.size, default=None)


def common(places: Iterable[Place | None]) -> Place | None:
    """What the known places have in common; None where none is known."""
    found: Place | None = None
    for place in places:
        if place is not None:
            found = place if found is None else _shared(found, place)
    return found


def place_of_result(weight: Origin | None, operands: Place | None) -> Place | None:
    """Of a matmul: the module around its weight; without one, what its operands have in common."""
    return operands if weight is None else tuple(weight.path.split("/")[:-1])


def _shared(a: Place, b: Place) -> Place:
    end = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[:end]

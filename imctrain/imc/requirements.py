"""What a specification may hold, told in one line where it does not."""

from __future__ import annotations

from imctrain.errors import UserError
from imctrain.limits import Bounds


def require(condition: bool, what: str, found: object, allowed: str) -> None:
    """Raises UserError where the condition does not hold."""
    if not condition:
        raise UserError(f"{what} = {found!r} is not possible: allowed is {allowed}")


def require_within(bounds: Bounds, what: str, found: float) -> None:
    """Raises UserError for a number outside its bounds, NaN included."""
    require(bounds.hold(found), what, found, str(bounds))

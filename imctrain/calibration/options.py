"""What is told of an option that is not possible."""

from __future__ import annotations

from imctrain.errors import UserError


def require(condition: bool, option: str, found: object, allowed: str) -> None:
    """Raises UserError for an option whose `condition` does not hold: what was found, and what is allowed."""
    if not condition:
        raise UserError(f"{option} {found} is not possible: allowed is {allowed}")

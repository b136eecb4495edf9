"""How well the spread of dies is known: a standard deviation of a few dies is known to a factor only.

The interval is that of the standard deviation of a Gaussian population of which n members were measured (chi-squared,
95 %): std sqrt((n - 1) / q), q the quantiles of chi-squared with n - 1 degrees of freedom. Three dies leave a factor
of 0.52 to 6.3. Each of the three figures (gain, offset, noise) has this interval; dies at the low or at the high of the
spread have all three there, which is the most that they may be together (this project's decision).
"""

from __future__ import annotations

from typing import Literal

from imctrain.calibration.schema.base import Interval
from imctrain.calibration.schema.calibration import Calibration
from imctrain.calibration.schema.variation import DieSpread
from imctrain.errors import UserError

SpreadLevel = Literal["low", "value", "high"]
LEVELS: tuple[SpreadLevel, ...] = ("low", "value", "high")
LEVEL = 0.95
FIGURES = {"gain_std": "gain_std_ci", "offset_std_lsb": "offset_std_ci_lsb", "sigma_std_lsb": "sigma_std_ci_lsb"}
"""Of `DieSpread`, with the names of their intervals."""


def interval_of_std(std: float, count: int) -> Interval:
    """Of the standard deviation of a Gaussian population, from `count` members, 2 or more."""
    from scipy.special import gammaincinv

    freedom = count - 1
    # chi-squared with f degrees of freedom is twice a gamma variable of shape f / 2.
    high, low = (2.0 * float(gammaincinv(freedom / 2, p)) for p in (0.5 + LEVEL / 2, 0.5 - LEVEL / 2))
    return std * (freedom / high) ** 0.5, std * (freedom / low) ** 0.5


def measured_dies(c: Calibration) -> int | None:
    """How many dies the spread is of; None where the file does not say."""
    count = len(c.dies or ())
    return count if count >= 2 else None


def spread_at(c: Calibration, level: SpreadLevel = "value") -> DieSpread | None:
    """The spread of dies at the low, the value or the high of its interval; None where the calibration has none.

    Intervals are those of the file; where it has none, those of the number of its dies.

    Raises UserError for a low or a high that the file does not tell.
    """
    spread = c.die_spread
    if spread is None or level == "value":
        return spread
    if (told := spread_bounds_unknown(c)) is not None:
        raise UserError(told)
    count = measured_dies(c)
    found: dict[str, float] = {}
    for name, interval in FIGURES.items():
        std, known = getattr(spread, name), getattr(spread, interval)
        bounds = known or (interval_of_std(std, count) if count else (std, std))
        found[name] = bounds[level == "high"]
    return DieSpread.model_validate(found)


def spread_bounds_unknown(c: Calibration) -> str | None:
    """Why the low and the high of the spread of dies are not known, in one line; None where they are."""
    spread = c.die_spread
    if spread is None:
        return f"calibration {c.name} has no die_spread: it has neither a low nor a high"
    missing = [
        interval for name, interval in FIGURES.items() if getattr(spread, name) and not getattr(spread, interval)
    ]
    if not missing or measured_dies(c):
        return None
    return (
        f"calibration {c.name} does not say of how many measured dies its die_spread is, so that its low and high are "
        f"not known: list the dies in it (`dies`), or give die_spread.{missing[0]}"
    )

"""What a site's reports say is wrong: its statistical path does not hold, or an MVM's output holds no signal.

The one place that judges reports of `Site.update`; the training loop and `ImcFunction.check` share it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from imctrain.imc.forecast.advice import remedy_text, signal_remedies
from imctrain.imc.site.site import Site

PATIENCE = 3
"""Reports in a row in which something must be wrong. Ranges need some steps to settle, a healthy training clips too
much at some site in one step of a hundred, and noise alone puts the SNR of a step on its floor now and then."""
FLOOR_DB = -59.0
"""Below it, `snr_db_<mvm>` is at its floor of -60 dB: the product's power is no more than that of its noise."""


def clipped_too_much(name: str, mvm: str, limit: float, report: Mapping[str, float], prefix: str = "") -> str | None:
    """What is wrong where a site that must be statistical clips more than `statistical.clip_limit`, or None.

    Args:
        name: of the site. limit: the largest fraction of conversions that may clip. report: of the site.
        prefix: of the settings' keys, "imc." for those of a config.
    """
    clipped = report.get(f"clipped_{mvm}", math.inf)
    if not math.isfinite(clipped) or clipped <= limit:
        return None
    return (
        f"site {name}, {mvm}: {100 * clipped:.2g}% of conversions clip, so the statistical path does not "
        f"hold ({prefix}statistical.clip_limit is {100 * limit:.2g}%): use {prefix}path = 'auto' or 'exact'"
    )


def is_silent(mvm: str, report: Mapping[str, float]) -> bool:
    """Whether an MVM's output held no signal in a report; an MVM that did not run is not silent."""
    return report.get(f"snr_db_{mvm}", math.inf) <= FLOOR_DB


def next_count(count: int, silent: bool, patience: int = PATIENCE) -> tuple[int, bool]:
    """The count of silent reports in a row after one more, and whether that is the one to warn at.

    A count stays where it is once it has reached `patience`, so that an MVM is told once.
    """
    if count >= patience:
        return count, False
    count = count + 1 if silent else 0
    return count, count >= patience


def silence_text(where: list[tuple[str, str, Site]], prefix: str = "") -> str:
    """One line for MVMs that hold no signal, with a remedy for the first.

    Args:
        where: (site's name, MVM, site). prefix: of the settings' keys, "imc." for those of a config.
    """
    names: dict[str, list[str]] = {}
    for name, mvm, _ in where:
        names.setdefault(name, []).append(mvm)
    listed = "; ".join(f"{name}, {' and '.join(mvms)}" for name, mvms in names.items())
    _, mvm, site = where[0]
    return (
        f"no signal above the converter's step and noise at site {listed}: "
        f"{remedy_text(signal_remedies(site, mvm), prefix)}"
    )

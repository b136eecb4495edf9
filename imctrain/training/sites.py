"""Summaries of the sites' reports: clipping over the whole network, the site of worst SNR, the paths taken."""

from __future__ import annotations

import math
from collections.abc import Iterable

from imctrain.imc.forecast.health import PATIENCE, clipped_too_much, is_silent, next_count, silence_text
from imctrain.intercept import Ledger


class SiteSummary:
    """Weights the sites' reports by their conversions."""

    def __init__(self, ledger: Ledger | None):
        self._weights: dict[tuple[str, str], float] = {}
        self._choosing: list[tuple[str, str]] = []
        self._limits: dict[tuple[str, str], float] = {}
        self._over: dict[tuple[str, str], int] = {}
        self._entries = {entry.name: entry for entry in ledger.sites} if ledger is not None else {}
        for entry in ledger.sites if ledger is not None else ():
            for plan in entry.mvms:
                self._weights[entry.name, plan.name] = float(plan.conversions * (entry.executions or 1))
                if entry.path in ("statistical", "auto"):
                    self._choosing.append((entry.name, plan.name))
                if entry.path == "statistical":
                    self._limits[entry.name, plan.name] = plan.hardware.statistical.clip_limit

    def clipped(self, reports: dict[str, dict[str, float]]) -> float:
        """Fraction of all conversions that clipped; NaN where there are none."""
        pairs = [
            (weight, reports[site].get(f"clipped_{mvm}", math.nan)) for (site, mvm), weight in self._weights.items()
        ]
        return _weighted(pairs)

    def worst(self, reports: dict[str, dict[str, float]]) -> tuple[str, str, float] | None:
        """(site, MVM, SNR in dB) of the lowest SNR; None where there is none."""
        found = [
            (reports[site].get(f"snr_db_{mvm}", math.nan), site, mvm) for site, mvm in self._weights if site in reports
        ]
        finite = [item for item in found if math.isfinite(item[0])]
        if not finite:
            return None
        snr, site, mvm = min(finite)
        return site, mvm, snr

    def overrun(self, reports: dict[str, dict[str, float]]) -> str | None:
        """What is wrong once a site that must be statistical has clipped too much for PATIENCE lines, or None."""
        for (site, mvm), limit in self._limits.items():
            problem = clipped_too_much(site, mvm, limit, reports[site], "imc.")
            self._over[site, mvm] = self._over.get((site, mvm), 0) + 1 if problem is not None else 0
            if self._over[site, mvm] >= PATIENCE:
                return problem
        return None

    def silence(self, reports: dict[str, dict[str, float]], counts: dict[str, int]) -> str | None:
        """One line for the MVMs whose output has held no signal for PATIENCE lines, each told once, or None.

        Args:
            counts: {"site:MVM": lines in a row}, updated here; part of a run's position, so that a run that was
                resumed tells the same.
        """
        lost = []
        for site, mvm in self._weights:
            place = f"{site}:{mvm}"
            counts[place], warn = next_count(counts.get(place, 0), is_silent(mvm, reports.get(site, {})))
            found = self._entries[site].site if warn else None
            if found is not None:
                lost.append((site, mvm, found))
        return silence_text(lost, "imc.") if lost else None

    def statistical(self, reports: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        """{site: {MVM: share of executions on the statistical path}} of the sites that may take it."""
        shares: dict[str, dict[str, float]] = {}
        for site, mvm in self._choosing:
            share = reports[site].get(f"statistical_{mvm}", math.nan) if site in reports else math.nan
            if math.isfinite(share):
                shares.setdefault(site, {})[mvm] = share
        return shares


def flatten_reports(reports: dict[str, dict[str, float]]) -> dict[str, float]:
    """{"site:quantity": value} of the finite values, for a line of metrics."""
    return {
        f"{site}:{key}": float(value)
        for site, report in reports.items()
        for key, value in report.items()
        if math.isfinite(float(value))
    }


def _weighted(pairs: Iterable[tuple[float, float]]) -> float:
    total = weight_sum = 0.0
    for weight, value in pairs:
        if math.isfinite(value):
            total += weight * value
            weight_sum += weight
    return total / weight_sum if weight_sum else math.nan

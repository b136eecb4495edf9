"""Reports of a user's own training loop, judged on the host: what jit can neither refuse nor say."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import jax
import numpy as np

from imctrain.errors import HardwareWarning, UserError
from imctrain.imc.forecast.health import clipped_too_much, is_silent, next_count, silence_text
from imctrain.imc.site.site import Site
from imctrain.intercept._jax_internals import Value
from imctrain.intercept.naming import nearest

Reports = Mapping[str, Mapping[str, Value]]
"""The reports of `ImcFunction.update` by site: numbers, or arrays of the reports that a scan stacked."""


class ReportCheck:
    """Judges one report of every site after the other; remembers what it has told."""

    def __init__(self) -> None:
        self._silent: dict[tuple[str, str], int] = {}
        self._over: dict[tuple[str, str], int] = {}

    def __call__(self, sites: Mapping[str, Site], reports: Reports, patience: int) -> None:
        """See `ImcFunction.check`. sites: those that are known, by name."""
        if patience < 1:
            raise UserError(f"check got patience = {patience}: give the reports in a row that it takes, 1 or more")
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(reports)):
            raise UserError(
                "check got reports that are being traced: call it outside of jit, grad and scan, on the reports that "
                "the compiled step returns"
            )
        for name in reports:
            if name not in sites:
                near = ", ".join(nearest(name, sites)) or "none"
                raise UserError(f"the reports have site {name!r}, which the function has not; nearest: {near}")
        lost = []
        for name, report in jax.device_get(dict(reports)).items():
            site = sites[name]
            for plan in site.mvms:
                for one in _one_by_one(report, plan.name):
                    self._raise_if_clipped(name, site, plan.name, one, patience)
                    place = (name, plan.name)
                    silent = is_silent(plan.name, one)
                    self._silent[place], warn = next_count(self._silent.get(place, 0), silent, patience)
                    if warn:
                        lost.append((name, plan.name, site))
        if lost:
            warnings.warn(silence_text(lost), HardwareWarning, stacklevel=3)

    def _raise_if_clipped(self, name: str, site: Site, mvm: str, report: Mapping[str, float], patience: int) -> None:
        hardware = site.spec.hardware
        if hardware.path != "statistical":
            return
        problem = clipped_too_much(name, mvm, hardware.statistical.clip_limit, report)
        self._over[name, mvm] = self._over.get((name, mvm), 0) + 1 if problem is not None else 0
        if problem is not None and self._over[name, mvm] >= patience:
            raise UserError(problem)


def _one_by_one(report: Mapping[str, Value], mvm: str) -> list[dict[str, float]]:
    """The values of one MVM that are judged, one dictionary for each report that is stacked."""
    keys = [key for key in (f"snr_db_{mvm}", f"clipped_{mvm}") if key in report]
    columns = [np.ravel(np.asarray(report[key], np.float64)) for key in keys]
    return [dict(zip(keys, map(float, row), strict=True)) for row in zip(*columns, strict=True)]

"""What a bill does not count, or counts in part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from imctrain.cost.lines import Matmul
from imctrain.cost.schedule import needed_macros
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.settings import Hardware


def notes_of(entries: Sequence[Matmul], hardware: Hardware, unbounded: bool) -> list[str]:
    """A line each; unbounded: whether elementwise work runs in a while loop."""
    notes = [f"site {e.name} runs in a while loop: counted once" for e in entries if e.executions is None]
    notes += [f"site {e.name} stands in a branch: counted as taken" for e in entries if e.conditional]
    notes += [
        f"{e.name} ({e.kind}) multiplies matrices out of sight: its arithmetic is not counted"
        for e in entries
        if e.site is None and e.op is None
    ]
    if unbounded:
        notes.append("elementwise work in a while loop is counted once")
    array_sites = [e for e in entries if e.site is not None and e.site.on_array]
    notes += _spares(array_sites, hardware)
    if array_sites and not hardware.has_noise:
        notes.append("noise is off: no converter has that, and its price is that of the quantisation alone")
    return notes


def _spares(entries: Sequence[Matmul], hardware: Hardware) -> list[str]:
    """What columns that are kept to take the place of dead ones cost, in a line."""
    array = hardware.array
    if not array.spare_columns or not entries:
        return []
    plans = [plan for e in entries if e.site is not None for plan in e.site.mvms if not plan.is_digital]
    taken = sum(needed_macros(plan) for plan in plans)
    before = sum(needed_macros(_without_spares(plan)) for plan in plans)
    return [
        f"{array.spare_columns} of {array.columns} columns of a macro are spare: they take area and convert nothing, "
        f"and the MVMs of a step take {taken} macros one after the other in place of {before}"
    ]


def _without_spares(plan: MvmPlan) -> MvmPlan:
    array = plan.hardware.array.replace(spare_columns=0)
    return replace(plan, hardware=plan.hardware.replace(array=array))

"""A bill as plain numbers: what `imctrain cost --json` prints, and figures and tables are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from imctrain.cost.energy import COMPONENTS, Energy
from imctrain.cost.references import ARITHMETICS
from imctrain.cost.schedule import Job, timeline
from imctrain.cost.step import MvmCost, PartCost, StepCost
from imctrain.files import JsonValue

WHAT = {"write": "writing operands into the array", "compute": "computing on the array", "digital": "digital work"}
NAMES = {
    "adc": "converters",
    "array": "the array",
    "dac": "row drivers",
    "digital": "digital arithmetic",
    "write": "writing cells",
    "move": "moving data",
}


def summary(step: StepCost, *, steps: int | None = None, steps_per_epoch: int | None = None) -> dict[str, Any]:
    """Of a step, and of the training where its length is given. J, s, m^2, unless a key says otherwise."""
    return {
        "technology": {"name": step.technology, "supply_v": step.supply_v, "node_nm": step.node_nm},
        "totals": _totals(step, steps, steps_per_epoch),
        "components": {name: getattr(step.energy, name).value for name in COMPONENTS},
        "components_band": {name: _band(step.energy, name) for name in COMPONENTS},
        "components_provenance": {name: getattr(step.energy, name).provenance for name in COMPONENTS},
        "sites": [_site(cost) for cost in step.mvms],
        "unsited": [_part(cost) for cost in step.parts],
        "references": {
            name: {"energy_step_j": step.reference(name).value, "ratio": step.ratio(name)} for name in ARITHMETICS
        },
        "time": seconds_by_kind(step),
        "timeline": [asdict(span) for span in timeline(jobs(step))],
        "bottleneck": bottleneck(step),
        "notes": list(step.notes),
    }


def _totals(step: StepCost, steps: int | None, steps_per_epoch: int | None) -> dict[str, JsonValue]:
    energy, seconds = step.energy.total, step.seconds_step
    on_array = sum(cost.energy.total.value for cost in step.mvms if cost.line.on_array)
    totals: dict[str, JsonValue] = {
        "energy_step_j": energy.value,
        "energy_step_band_j": [energy.low, energy.high],
        "energy_value_aware_j": step.value_aware_j,
        "seconds_step": seconds,
        "macs_step": step.macs,
        "macs_on_array": step.macs_on_array,
        "fj_per_mac": step.fj_per_mac,
        "fj_per_mac_on_array": 1e15 * on_array / step.macs_on_array if step.macs_on_array else None,
        "tops_per_w": step.tops_per_w,
        "edp_js": energy.value * seconds,
        "area_mm2": 1e6 * step.area_m2.value,
        "area_mm2_band": [1e6 * step.area_m2.low, 1e6 * step.area_m2.high],
        "macros": step.macros,
        "macro_utilisation": macro_utilisation(step),
    }
    totals |= {f"digital_{name}_ratio": step.ratio(name) for name in ARITHMETICS}
    if step.images:
        totals["energy_image_j"] = energy.value / step.images
    if steps_per_epoch is not None:
        totals |= {"energy_epoch_j": steps_per_epoch * energy.value, "seconds_epoch": steps_per_epoch * seconds}
    if steps is not None:
        totals |= {"steps": steps, "energy_training_j": steps * energy.value, "seconds_training": steps * seconds}
    return totals


def _band(energy: Energy, name: str) -> list[float]:
    found = getattr(energy, name)
    return [found.low, found.high]


def _site(cost: MvmCost) -> dict[str, JsonValue]:
    line, job = cost.line, cost.job
    return {
        "site": line.name,
        "mvm": line.mvm,
        "path": line.path,
        "macs": line.macs * line.executions,
        "conversions": cost.events.conversions,
        "energy_j": cost.energy.total.value,
        "energy_band_j": [cost.energy.total.low, cost.energy.total.high],
        "energy_value_aware_j": None if cost.value_aware is None else cost.value_aware.value,
        "components": {name: getattr(cost.energy, name).value for name in COMPONENTS},
        "seconds": job.seconds,
        "seconds_write": job.write_s,
        "seconds_compute": job.compute_s,
        "macros": job.macros,
    }


def _part(cost: PartCost) -> dict[str, JsonValue]:
    return {
        "part": cost.part.name,
        "energy_j": cost.energy.total.value,
        "components": {name: getattr(cost.energy, name).value for name in COMPONENTS},
        "seconds": cost.seconds,
    }


def jobs(step: StepCost) -> Sequence[Job]:
    """In the order of the step; parts last."""
    work = [Job(c.part.name, "", 0.0, 0.0, c.seconds, c.seconds, 0) for c in step.parts]
    return [*(cost.job for cost in step.mvms), *work]


def seconds_by_kind(step: StepCost) -> dict[str, float]:
    """Seconds of a step that go to writing, to computing on the array and to digital work (`schedule`). Where writing
    goes on beside computing they add up to more than the step takes."""
    found = jobs(step)
    kinds = {"write": "write_s", "compute": "compute_s", "digital": "digital_s"}
    return {name: sum(getattr(job, field) for job in found) for name, field in kinds.items()}


def macro_utilisation(step: StepCost) -> float:
    """Macros that write or compute, mean over the time of a step, as a share of those that there are."""
    busy = sum(cost.job.macros * (cost.job.write_s + cost.job.compute_s) for cost in step.mvms)
    whole = step.macros * step.seconds_step
    return min(busy / whole, 1.0) if whole else 0.0


def bottleneck(step: StepCost) -> str:
    """Where a step's time and energy go first, in one line."""
    times = seconds_by_kind(step)
    slow, seconds = max(times.items(), key=lambda item: item[1])
    dear, joules = max(((name, getattr(step.energy, name).value) for name in COMPONENTS), key=lambda item: item[1])
    who = _costliest((*step.mvms, *step.parts))
    return (
        f"{WHAT[slow]} takes {_percent(seconds, step.seconds_step)} of the time; {NAMES[dear]} "
        f"{_percent(joules, step.energy_step_j)} of the energy; dearest is {who}"
    )


def _costliest(costs: Iterable[MvmCost | PartCost]) -> str:
    dearest = max(costs, key=lambda cost: cost.energy.total.value)
    if isinstance(dearest, PartCost):
        return f"{dearest.part.name} work"
    return f"{dearest.line.name} {dearest.line.mvm} ({dearest.line.path})"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"

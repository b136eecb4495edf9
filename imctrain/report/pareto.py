"""Accuracy against energy: the points of one front, what they are compared with, and which of them no other beats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from imctrain.files import JsonValue
from imctrain.records.energy import SILICON_LSB, Pricing, TrainingEnergy
from imctrain.records.plans import Label
from imctrain.records.runs import RunRecord
from imctrain.records.sweeps import Sweep, select
from imctrain.report.crossing import seed_std
from imctrain.report.mixture import one_configuration
from imctrain.report.sweep_table import SIGMA, curve_name

MADE_BY = "imctrain pareto"
STEEPEST = 2
"""Largest p of E ~ sigma^-p: what kT/C noise asks of a capacitor."""
REFERENCE_NAMES = {"float": "float, FP32", "digital": "the formats, digital"}


class ParetoPoint(TypedDict):
    """A configuration, all of its seeds. Accuracies are fractions; J, s, fJ.

    sweep: its names, where several sweeps hold the same trials. energy_band_j: with the ranges of the technology's
    figures. noise_lsb: total noise before rounding, LSB at R = 1. energy_noise_band_j: lowest and highest where
    converters and array take (1 LSB / noise)^p, p from 0 to 2; null without bound, for no noise.
    on_front: none has as much accuracy for less energy, or more for as much. on_noise_front: the same at p = 2.
    """

    sweep: str
    variant: str
    axes: dict[str, JsonValue]
    seeds: list[int]
    accuracy: float
    accuracy_seeds: list[float]
    energy_training_j: float
    energy_step_j: float
    energy_band_j: list[float]
    noise_lsb: float | None
    energy_noise_band_j: list[float | None]
    seconds_training_chip: float
    fj_per_mac: float
    digital_int8_ratio: float | None
    on_front: bool
    on_noise_front: bool


class ParetoReference(TypedDict):
    """What the points are compared with. assumed: "" for a training that was done; else what is taken for granted."""

    name: str
    sweep: str
    accuracy: float
    accuracy_seeds: list[float]
    energy_training_j: float
    assumed: str


class Pareto(TypedDict):
    """A front. noise_priced: whether the technology prices a converter's noise; null where it is not known."""

    made_by: str
    technology: list[str]
    provenance: str
    noise_priced: bool | None
    points: list[ParetoPoint]
    references: list[ParetoReference]
    notes: list[str]


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Of (energy, accuracy): whether no other point has as much accuracy for less energy, or more for as much.

    Points that are equal in both stand or fall together. A point with a value that is not finite is on no front.
    """
    finite = [all(map(math.isfinite, point)) for point in points]
    order = sorted((i for i, known in enumerate(finite) if known), key=lambda i: (points[i][0], -points[i][1]))
    found = [False] * len(points)
    best, last = -math.inf, None
    for i in order:
        if points[i][1] > best:
            best, last = points[i][1], points[i]
        found[i] = points[i] == last
    return found


@dataclass(frozen=True)
class _Trial:
    """A finished training of a configuration."""

    record: RunRecord
    sweep: str
    label: Label
    accuracy: float
    energy: TrainingEnergy


def pareto_of(
    records: Sequence[RunRecord], chosen: Mapping[Sweep, str], singles: Sequence[RunRecord], pricing: Pricing
) -> Pareto:
    """The front of sweeps and runs.

    Args:
        records: all there are. chosen: sweeps, and what people call them. singles: runs that are no trial of these.
        pricing: what trainings took.

    Trials that failed, that have no finite accuracy or no known energy, or whose config was edited, are left out and
    told in the notes.
    """
    left_out: dict[str, int] = {}
    trials: list[_Trial] = []
    for sweep, title in chosen.items():
        for record in select(records, sweep):
            trials += _trial(record, title, record.labels[sweep.name], pricing, left_out)
    for record in singles:
        trials += _trial(record, "", _own_label(record), pricing, left_out)
    groups = [group for group in _groups(trials) if group[0].label["reference"] is None]
    points = _with_fronts([_point(group, pricing) for group in groups])
    references = _references(trials, pricing)
    notes = [f"left out: {count} {why}" for why, count in left_out.items()]
    technologies = sorted({trial.energy.technology for trial in trials})
    if len(technologies) > 1:
        notes.append(f"energies are counted on several technologies ({', '.join(technologies)}): they do not compare")
    priced = next((known for t in trials if (known := pricing.prices_noise(t.record)) is not None), None)
    notes += _noise_notes(points, technologies, priced) + _seed_notes(points)
    provenances = sorted({trial.energy.provenance for trial in trials} - {""})
    return Pareto(
        made_by=MADE_BY,
        technology=technologies,
        provenance=", ".join(provenances),
        noise_priced=priced,
        points=points,
        references=references,
        notes=notes,
    )


def _trial(record: RunRecord, sweep: str, label: Label, pricing: Pricing, left_out: dict[str, int]) -> Iterable[_Trial]:
    """The trial, or none and why."""
    where = f" of {sweep}" if sweep else ""
    energy = None
    if record.accuracy is None:
        why = f"failed or unfinished{where}"
    elif not math.isfinite(record.accuracy):
        why = f"without a finite accuracy{where}"
    elif record.edited:
        why = f"whose config.toml was edited after the training{where}"
    elif (energy := pricing(record)) is None or not math.isfinite(energy.energy_training_j):
        why = f"without a known energy{where}"
    else:
        return [_Trial(record, sweep, label, record.accuracy, energy)]
    left_out[why] = left_out.get(why, 0) + 1
    return []


def _own_label(record: RunRecord) -> Label:
    """Of a run that is no trial."""
    path, seed = record.setting("imc.path"), record.setting("seed")
    reference = path if isinstance(path, str) and path in REFERENCE_NAMES else None
    return Label(
        reference=reference,
        variant=str(record.config.get("name", record.folder.name)),
        axes={},
        seed=seed if isinstance(seed, int) else 0,
    )


def _groups(trials: Sequence[_Trial]) -> list[list[_Trial]]:
    """Trials of one configuration together, whichever sweeps they are in; a sweep's, in its order.

    Sweeps share trials: what one of them calls a configuration stays, the largest group of its trials first.
    """
    groups: dict[str, list[_Trial]] = {}
    for trial in trials:
        alike = one_configuration(trial.record, trial.label.get("chips"))
        groups.setdefault(f"{trial.label['reference']} {alike}", []).append(trial)
    return [list({trial.record.folder: trial for trial in reversed(group)}.values())[::-1] for group in groups.values()]


def _point(group: Sequence[_Trial], pricing: Pricing) -> ParetoPoint:
    first = group[0]
    accuracies = [trial.accuracy for trial in group]
    noise = pricing.noise_lsb(first.record)
    energy = first.energy
    low, high = energy.energy_step_band_j
    return ParetoPoint(
        sweep=", ".join(dict.fromkeys(trial.sweep for trial in group)),
        variant=first.label["variant"],
        axes=first.label["axes"],
        seeds=[trial.label["seed"] for trial in group],
        accuracy=float(np.mean(accuracies)),
        accuracy_seeds=accuracies,
        energy_training_j=energy.energy_training_j,
        energy_step_j=energy.energy_step_j,
        energy_band_j=[energy.steps * low, energy.steps * high],
        noise_lsb=noise,
        energy_noise_band_j=noise_band(energy, noise, pricing.noise_price(first.record) if noise else 1.0),
        seconds_training_chip=energy.seconds_training_chip,
        fj_per_mac=energy.fj_per_mac,
        digital_int8_ratio=energy.digital_int8_ratio,
        on_front=False,
        on_noise_front=False,
    )


def noise_band(energy: TrainingEnergy, noise: float | None, noise_price: float = 1.0) -> list[float | None]:
    """J of a training whose converters and array take (1 LSB / noise)^p times what they would take at 1 LSB, lowest and
    highest for p from 0 to 2; None without bound. For what is not on the array, and where noise is not known, there is
    no band.

    Args:
        noise_price: what the technology has multiplied the converters by already; the band holds its own price too.
    """
    total = energy.energy_training_j
    if noise is None:
        return [total, total]
    if noise == 0:
        return [total, None]
    at_silicon = energy.sensed_step_j(noise_price)
    steep = total + energy.steps * (at_silicon * (SILICON_LSB / noise) ** STEEPEST - energy.sensed_step_j())
    return [min(total, steep), max(total, steep)]


def at_steepest(point: ParetoPoint) -> float:
    """Energy of a point at p = 2, J; infinite for no noise."""
    low, high = point["energy_noise_band_j"]
    if high is None:
        return math.inf
    return low if low is not None and low < point["energy_training_j"] else high


def _with_fronts(points: list[ParetoPoint]) -> list[ParetoPoint]:
    """In order of energy, marked."""
    points.sort(key=lambda point: (point["energy_training_j"], -point["accuracy"]))
    plain = front([(point["energy_training_j"], point["accuracy"]) for point in points])
    steep = front([(at_steepest(point), point["accuracy"]) for point in points])
    for point, on_front, on_noise_front in zip(points, plain, steep, strict=True):
        point["on_front"], point["on_noise_front"] = on_front, on_noise_front
    return points


def _references(trials: Sequence[_Trial], pricing: Pricing) -> list[ParetoReference]:
    """Trained references at their own energy; float's accuracy at the energy of BF16 and of INT8 too."""
    found = []
    on_array = [trial for trial in trials if trial.label["reference"] is None]
    for group in _groups(trials):
        first = group[0]
        if first.label["reference"] is None:
            continue
        accuracies = [trial.accuracy for trial in group]
        named = {
            "sweep": ", ".join(dict.fromkeys(trial.sweep for trial in group)),
            "accuracy": float(np.mean(accuracies)),
            "accuracy_seeds": accuracies,
        }
        called = REFERENCE_NAMES[first.label["reference"]]
        if first.label["reference"] == "digital" and first.label["variant"]:
            called += f": {first.label['variant']}"
        own = first.energy.energy_training_j
        found.append(ParetoReference(name=called, energy_training_j=own, assumed="", **named))  # type: ignore[typeddict-item]
        if first.label["reference"] != "float":
            continue
        other = _same_training(first, on_array)
        energies = {} if other is None else pricing.references(other.record)
        for name, assumed in (("bf16", "float accuracy in BF16"), ("int8", "float accuracy at INT8's energy")):
            if name in energies:
                energy = first.energy.steps * energies[name]
                reference = {"name": f"float, {name.upper()}", "energy_training_j": energy, "assumed": assumed}
                found.append(ParetoReference(**reference, **named))  # type: ignore[typeddict-item]
    return sorted(found, key=lambda reference: reference["energy_training_j"])


def _same_training(reference: _Trial, trials: Sequence[_Trial]) -> _Trial | None:
    """A trial on the array of the network, data and recipe that a float reference has, most of it on the array."""
    same = [
        t
        for t in trials
        if all(_table(t.record, k) == _table(reference.record, k) for k in ("data", "model", "training"))
    ]
    same = [trial for trial in same if trial.energy.digital_int8_ratio is not None]
    return min(same, key=lambda trial: trial.energy.fj_per_mac, default=None) if same else None


def _table(record: RunRecord, name: str) -> JsonValue:
    return record.config.get(name)


def differing_noise(points: Sequence[ParetoPoint]) -> list[float]:
    """The noise levels of a front that has several, LSB; empty for one."""
    levels = sorted({point["noise_lsb"] for point in points if point["noise_lsb"] is not None})
    return levels if len(levels) > 1 else []


def _noise_notes(points: Sequence[ParetoPoint], technologies: Sequence[str], priced: bool | None) -> list[str]:
    levels = differing_noise(points)
    if not levels:
        return []
    name = " and ".join(technologies)
    converter = {
        True: f"{name} prices a converter's noise where it is below that of its own rounding",
        False: f"{name} has no price for a converter's noise",
        None: f"whether {name} prices a converter's noise is not known here",
    }[priced]
    return [
        f"noise differs ({levels[0]:g} to {levels[-1]:g} LSB): {converter}; noise before the range has no "
        f"sourced price. Bars: converters and array take ({SILICON_LSB:g} LSB / noise)^p times their energy, p = 0 to "
        f"{STEEPEST} (kT/C is p = 2), this project's assumption"
    ]


def _seed_notes(points: Sequence[ParetoPoint]) -> list[str]:
    """A front picks the luckiest of many: whoever reads it should know by how much seeds differ."""
    single = sum(len(point["seeds"]) == 1 for point in points)
    if not single or len(points) < 2:
        return []
    spread = seed_std([point["accuracy_seeds"] for point in points])
    return [
        f"{single} of {len(points)} points have one seed, and seeds spread by about {100 * spread:.2g} points "
        "(standard deviation): a front of many points favours lucky ones"
    ]


def point_name(point: ParetoPoint) -> str:
    """What tells a point from the others."""
    axes = {key: value for key, value in point["axes"].items() if key != SIGMA}
    name = curve_name(point["variant"], axes, None)
    return f"{name}, {point['axes'][SIGMA]:g} LSB" if SIGMA in point["axes"] else name

"""A sweep's trials as a table: CSV, JSON, Markdown; and its curves."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imctrain.files import JsonValue
from imctrain.records.sweeps import TrialRow

SIGMA = "imc.noise.sigma_lsb"
MOST_CURVES = 24
"""With more, trials are a list and no picture."""


@dataclass
class Curves:
    """Accuracies (fractions) of a sweep's trials, grouped.

    Attributes:
        axis: dotted key on the x-axis; None where no axis holds numbers. by_curve: {curve: {x: accuracies}}, with
            x = None where there is no axis. references: {"float": accuracies, "digital": ...}.
        measured: what the accuracies are.
    """

    axis: str | None
    by_curve: dict[str, dict[Any, list[float]]] = field(default_factory=dict)
    references: dict[str, list[float]] = field(default_factory=dict)
    measured: str = "test accuracy"

    @property
    def are_points(self) -> bool:
        """Whether trials are points of a space, as those of a search, and hardly two are on one curve."""
        without = any(None in points for points in self.by_curve.values())
        return self.axis is not None and (without or len(self.by_curve) > MOST_CURVES)

    @property
    def groups(self) -> list[list[float]]:
        """Accuracies of the same config under several seeds."""
        return [*self.references.values(), *(a for points in self.by_curve.values() for a in points.values())]


def curves_of(rows: Sequence[TrialRow]) -> Curves:
    """Group rows by curve and level; rows without a result are left out."""
    axis = _x_axis(rows)
    curves = Curves(axis)
    for row in rows:
        if row["accuracy"] is None:
            continue
        if row["reference"] is not None:
            curves.references.setdefault(row["reference"], []).append(row["accuracy"])
            continue
        points = curves.by_curve.setdefault(curve_name(row["variant"], row["axes"], axis), {})
        points.setdefault(None if axis is None else row["axes"].get(axis), []).append(row["accuracy"])
    return curves


def _x_axis(rows: Sequence[TrialRow]) -> str | None:
    values: dict[str, set[object]] = {}
    for row in rows:
        for key, value in row["axes"].items():
            values.setdefault(key, set()).add(str(value) if isinstance(value, list | dict) else value)
    numeric = [
        key
        for key, found in values.items()
        if len(found) > 1 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in found)
    ]
    return SIGMA if SIGMA in numeric else next(iter(numeric), None)


def curve_name(variant: str, axes: Mapping[str, JsonValue], axis: str | None) -> str:
    """The variant, and the axes other than x."""
    others = []
    for key, value in axes.items():
        if key != axis:
            word = value if isinstance(value, str) else f"{key.rpartition('.')[2]} {_short(value)}"
            others.append(word.replace("_", " "))
    return ", ".join([*([variant] if variant else []), *others]) or "IMC"


def as_csv(rows: Sequence[TrialRow]) -> str:
    """One line a trial, one column an axis."""
    keys = list(dict.fromkeys(key for row in rows for key in row["axes"]))
    plain = [{name: value for name, value in row.items() if name != "axes"} for row in rows]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*(plain[0] if plain else {}), *keys])
    for row, known in zip(rows, plain, strict=True):
        values = ["" if value is None else value for value in known.values()]
        writer.writerow([*values, *(row["axes"].get(key, "") for key in keys)])
    return stream.getvalue()


def as_json(rows: Sequence[TrialRow], extra: Mapping[str, object]) -> str:
    return json.dumps({"trials": list(rows), **extra}, indent=1) + "\n"


def as_markdown(rows: Sequence[TrialRow], measured: str = "test accuracy") -> str:
    """Means over seeds: a row a level, a column a curve; or a row a variant where no axis holds numbers."""
    curves = curves_of(rows)
    baseline = curves.references.get("float")
    lines = []
    for reference, accuracies in curves.references.items():
        lines.append(f"{reference}: {_cell(accuracies, None if reference == 'float' else baseline)}")
    if lines:
        lines.append("")
    if curves.axis is None:
        lines += [f"| variant | {measured} |", "|---|---|"]
        lines += [f"| {name} | {_cell(points[None], baseline)} |" for name, points in curves.by_curve.items()]
    else:
        names = list(curves.by_curve)
        lines += [f"| {curves.axis} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        levels = sorted({x for points in curves.by_curve.values() for x in points})
        for x in levels:
            cells = [_cell(curves.by_curve[name].get(x, []), baseline) for name in names]
            lines.append(f"| {_short(x)} | " + " | ".join(cells) + " |")
    lines += energy_lines(rows)
    failed = [row for row in rows if row["error"]]
    if failed:
        lines += ["", "Failed:", ""]
        lines += [
            f"- {curve_name(row['variant'], row['axes'], None)}, seed {row['seed']}: {row['error']}" for row in failed
        ]
    return "\n".join(lines) + "\n"


def energy_lines(rows: Sequence[TrialRow]) -> list[str]:
    """What trainings took on the chip: a row a curve, or a row a level where levels differ; nothing where not known."""
    found: dict[tuple[str, str], dict[Any, TrialRow]] = {}
    axis = _x_axis(rows)
    for row in rows:
        if row.get("energy_training_j") is not None:
            name = row["reference"] or curve_name(row["variant"], row["axes"], axis)
            level = row["axes"].get(axis) if axis is not None and row["reference"] is None else None
            found.setdefault((name, _energy_cells(row)), {}).setdefault(level, row)
    if not found:
        return []
    heads = [
        "energy of the training",
        *([] if axis is None else [axis]),
        "J",
        "uJ a step",
        "fJ/MAC",
        "chip s",
        "INT8 / IMC",
    ]
    lines = ["", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for (name, cells), levels in found.items():
        shown = ", ".join(_short(level) for level in sorted(level for level in levels if level is not None))
        lines.append(f"| {name} | {cells} |" if axis is None else f"| {name} | {shown} | {cells} |")
    technologies = dict.fromkeys(str(row["cost_technology"]) for row in rows if row.get("cost_technology"))
    text = f"Counted on {' and '.join(technologies)}, whole steps, without evaluation. INT8 / IMC: energy of the same"
    return [*lines, "", f"{text} steps in digital INT8 over that of these."]


def _energy_cells(row: TrialRow) -> str:
    ratio = row.get("digital_int8_ratio")
    values = (
        row.get("energy_training_j"),
        1e6 * (row.get("energy_step_j") or 0.0),
        row.get("fj_per_mac"),
        row.get("seconds_training_chip"),
    )
    return " | ".join([*(f"{value or 0.0:.3g}" for value in values), "" if ratio is None else f"{ratio:.2f}"])


def as_list(rows: Sequence[TrialRow], measured: str = "test accuracy") -> str:
    """A line a trial, nothing added up: of trials that do not belong together."""
    lines = [f"| trial | seed | {measured} | folder |", "|---|---|---|---|"]
    for row in rows:
        accuracy = row["error"] or "" if row["accuracy"] is None else f"{100 * row['accuracy']:.2f} %"
        name = row["reference"] or curve_name(row["variant"], row["axes"], None)
        lines.append(f"| {name} | {row['seed']} | {accuracy} | {row['folder']} |")
    return "\n".join(lines) + "\n"


def _cell(accuracies: Sequence[float], baseline: Sequence[float] | None) -> str:
    """ "81.2 ± 0.3 % (-1.9)": mean, standard deviation over seeds, points against the baseline."""
    if not accuracies:
        return ""
    mean = 100 * float(np.mean(accuracies))
    text = f"{mean:.2f} %"
    if len(accuracies) > 1:
        spread = f"{100 * float(np.std(accuracies, ddof=1)):.2f}"
        # Seeds that agree by chance are no spread of zero: only that is said.
        text = f"{mean:.2f} ± {spread} %" if float(spread) else f"{mean:.2f} % ({len(accuracies)} seeds alike)"
    if baseline:
        text += f" ({mean - 100 * float(np.mean(baseline)):+.2f})"
    return text


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

"""`imctrain plot`: a number of runs against any key, a colour for each value of another, in the size of a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from imctrain.errors import UserError
from imctrain.files import JsonValue
from imctrain.records.copies import copies_of
from imctrain.records.kept_config import leaves
from imctrain.records.runs import RunRecord, gather
from imctrain.report.style import drawing, legend_outside, plain_ticks, save_figure, subplots
from imctrain.report.web.differences import short_names, value_text

MADE_BY = "imctrain plot"
MARKERS = "osD^vP*X"
ACCURACY = "accuracy"
SHARES = (ACCURACY, "test_accuracy", "validation_accuracy", "best_test_accuracy", "clipped_fraction")
"""Drawn in %."""
MOST_HUES = 12
LOGARITHMIC = 20.0
"""Numbers above zero that span more are drawn on a logarithmic axis."""
SHAPE = 0.72
"""Height over width."""

Level = float | str


@dataclass
class Points:
    """What is drawn: {hue: {x: values}}; left_out: runs that have no such value."""

    x: str
    y: str
    hue: str | None
    by_hue: dict[str, dict[Level, list[float]]] = field(default_factory=dict)
    left_out: int = 0

    @property
    def is_numeric(self) -> bool:
        """Whether x is a number in every run."""
        return all(isinstance(x, float) for found in self.by_hue.values() for x in found)

    @property
    def levels(self) -> list[Level]:
        """Values of x, numbers in order, words as they come."""
        found = list(dict.fromkeys(x for points in self.by_hue.values() for x in points))
        return sorted(found, key=float) if self.is_numeric else found


def points_of(folder: Path, x: str, y: str = ACCURACY, hue: str | None = None) -> Points:
    """Finished runs below a folder, copies left out.

    Args:
        x, hue: keys of configs ("imc.noise.sigma_lsb") or of result.json ("energy_training_j"). y: a key whose values
            are numbers; "accuracy" is that on the test images, else on the held-out ones.

    Raises UserError for a key that no run has, or where nothing can be drawn.
    """
    records = gather(folder)
    copies = copies_of(records)
    finished = [record for record in records if record.result is not None and record.folder not in copies]
    if not finished:
        raise UserError(f"no finished run below {folder}: train one first")
    for option, key in (("--x", x), ("--y", y), ("--hue", hue)):
        if key is not None and all(_value(record, key) is None for record in finished):
            raise UserError(f"{option} {key}: no run below {folder} has that key{_near(finished, key)}")
    points = Points(x, y, hue)
    for record in finished:
        at, value = _level(_value(record, x)), _value(record, y)
        if at is None or not isinstance(value, int | float) or isinstance(value, bool):
            points.left_out += 1
            continue
        name = "" if hue is None else value_text(_value(record, hue))
        points.by_hue.setdefault(name, {}).setdefault(at, []).append(float(value))
    if not points.by_hue:
        raise UserError(f"--y {y}: no run below {folder} has a number there and a value of {x}")
    if len(points.by_hue) > MOST_HUES:
        raise UserError(
            f"--hue {hue} has {len(points.by_hue)} values, more than the {MOST_HUES} that can be told apart"
        )
    return points


def draw_points(points: Points, targets: Sequence[Path], *, width: float = 5.2, style: str | None = None) -> None:
    """A line through the means for each hue, and a point for each run where several are at one place.

    Args:
        targets: files, the format by their suffix. width: inches. style: of matplotlib, over the project's.

    Raises UserError for a style that matplotlib cannot read.
    """
    with drawing(style):
        _draw(points, targets, width)


def _draw(points: Points, targets: Sequence[Path], width: float) -> None:
    from matplotlib import rcParams

    figure, axis = subplots(figsize=(width, SHAPE * width), layout="constrained")
    factor = 100.0 if points.y in SHARES else 1.0
    colours = rcParams["axes.prop_cycle"].by_key().get("color", ["0.2"])
    levels = points.levels
    place = (lambda x: x) if points.is_numeric else levels.index
    for number, (name, found) in enumerate(_in_order(points.by_hue)):
        colour, marker = colours[number % len(colours)], MARKERS[number % len(MARKERS)]
        at = [x for x in levels if x in found]
        means = [factor * float(np.mean(found[x])) for x in at]
        label = f"{_short(points.hue)} {name}" if points.hue is not None else None
        axis.plot([place(x) for x in at], means, color=colour, marker=marker, ms=4, label=label)
        for x in at:
            if len(found[x]) > 1:
                runs = [factor * value for value in found[x]]
                axis.plot([place(x)] * len(runs), runs, ".", color=colour, ms=2.5)
    _x_axis(axis, points, levels)
    axis.set_ylabel(f"{_short(points.y).replace('_', ' ')}{' (%)' if factor > 1 else ''}")
    if points.hue is not None:
        legend_outside(figure, "outside upper center", max(1, int(width / 1.6)))
    save_figure(figure, *targets, made_by=MADE_BY, sized=True)


def _x_axis(axis: object, points: Points, levels: Sequence[Level]) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    axis.set_xlabel(points.x)
    if not points.is_numeric:
        axis.set_xticks(range(len(levels)), [str(x) for x in levels])
        return
    low, high = float(levels[0]), float(levels[-1])
    if low > 0 and high / low > LOGARITHMIC:
        axis.set_xscale("log")
        plain_ticks(axis, "x")


def _in_order(by_hue: dict[str, dict[Level, list[float]]]) -> list[tuple[str, dict[Level, list[float]]]]:
    """Numbers by size, before words."""

    def order(item: tuple[str, object]) -> tuple[bool, float, str]:
        try:
            return False, float(item[0]), ""
        except ValueError:
            return True, 0.0, item[0]

    return sorted(by_hue.items(), key=order)


def _value(record: RunRecord, key: str) -> JsonValue:
    if key == ACCURACY:
        return record.accuracy
    found = record.setting(key)
    return found if found is not None or record.result is None else record.result.get(key)


def _level(value: JsonValue) -> Level | None:
    if value is None:
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value_text(value)


def _short(key: str | None) -> str:
    return "" if key is None else short_names([key])[key]


def _near(records: Sequence[RunRecord], key: str) -> str:
    """Keys that may have been meant."""
    import difflib

    known: dict[str, None] = {ACCURACY: None}
    for record in records:
        known |= dict.fromkeys(leaves(record.config))
        known |= dict.fromkeys(record.result.keys() if record.result is not None else ())
    last = key.rpartition(".")[2]
    found = [name for name in known if name.rpartition(".")[2] == last]
    found = found or difflib.get_close_matches(key, list(known), n=3, cutoff=0.6)
    return f"; did you mean {', '.join(found[:3])}?" if found else ""

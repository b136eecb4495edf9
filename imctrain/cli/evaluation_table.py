"""Evaluations as `imctrain evaluate` prints them: a table, and lines below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from imctrain.records.evaluation import AtSpread, Evaluation, Yield

UNITS = {"temperature_c": "C", "supply_v": "V"}
HEADERS = ("die", "accuracy %", "test dies", "mean %", "std", "lowest", "highest", "noise std")


def show(found: Sequence[Evaluation], console: Console) -> None:
    """Print them."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title_justify="left")
    table.add_column("evaluation")
    for header in HEADERS:
        table.add_column(header, justify="left" if header == "die" else "right")
    for one in found:
        first, summary = one.dies[0], one.summary
        tested = summary.test_dies
        spread = (summary.mean, summary.std, summary.lowest, summary.highest) if tested else (None,) * 4
        table.add_row(
            one.name,
            first.name,
            percent(first.accuracy),
            str(tested) if tested else "",
            *map(percent, spread),
            percent(summary.noise_std),
        )
        for level in one.at_spread:
            if level.level != "value":
                spread = (level.mean, level.std, level.lowest, level.highest)
                name = f"  spread of dies at its {level.level}"
                table.add_row(name, "", "", str(level.test_dies), *map(percent, spread), "")
        for at in one.at_conditions:
            spread = (at.mean, at.std, at.lowest, at.highest)
            where = ", ".join(f"{value:g} {UNITS[key]}" for key, value in sorted(at.conditions.items(), reverse=True))
            tested_at = str(at.test_dies) if at.test_dies else ""
            table.add_row(f"  at {where}", first.name, percent(at.own_accuracy), tested_at, *map(percent, spread), "")
    console.print(table)
    console.print()
    for line in lines(found):
        console.print(line, markup=False, soft_wrap=True)


def lines(found: Sequence[Evaluation]) -> list[str]:
    """What stands below the table."""
    first = found[0]
    lines = [f"{first.network}, {first.checkpoint} checkpoint, on {first.images} test images of {first.dataset}"]
    if first.trained_accuracy is not None:
        held_out = dict(first.config["data"]).get("validation") is not None  # type: ignore[arg-type]
        where = " on the images that were held out" if held_out else ""
        lines[0] += f"; {percent(first.trained_accuracy)} % when it was trained{where}"
    if first.baseline_accuracy is not None:
        lines[0] += f", float baseline {percent(first.baseline_accuracy)} %"
    for one in found:
        told = [*of_the_die(one), *yield_lines(one), *of_the_spread(one)]
        lines += [f"{one.name}: {line}" for line in told]
        lines += [f"note: {one.name}: {note}" for note in one.notes]
    return list(dict.fromkeys(lines))


def of_the_die(one: Evaluation) -> list[str]:
    """How much of the accuracy belongs to the die of the training."""
    summary = one.summary
    if summary.belongs_to_die is None or summary.own_accuracy is None:
        return []
    error = "" if summary.belongs_to_die_error is None else f" +- {100 * summary.belongs_to_die_error:.2f}"
    return [
        f"training die {percent(summary.own_accuracy)} %, test dies {percent(summary.mean)} %: "
        f"{100 * summary.belongs_to_die:.2f}{error} points of the accuracy belong to the die it was trained on"
    ]


def yield_lines(one: Evaluation) -> list[str]:
    """Every yield with its interval, and what it is at the low and at the high of the spread of dies."""
    ends = {level.level: level for level in one.at_spread}
    found = []
    for number, at in enumerate(one.summary.yields):
        line = yield_line(at)
        told = [f"{_share(ends[name].yields[number])} at its {name}" for name in ("low", "high") if name in ends]
        found.append(f"{line}; with the spread of dies {', '.join(told)}" if told else line)
    return found


def yield_line(found: Yield) -> str:
    """A yield with its interval."""
    level = f"{percent(found.accuracy)} %"
    if found.below is not None and found.points is not None:
        level = f"{found.points:g} points below the {found.below} ({level})"
    return f"yield at {level}: {found.passed} of {found.dies} dies, {_share(found)}"


def of_the_spread(one: Evaluation) -> list[str]:
    """How well the spread of dies is known."""
    if not one.at_spread:
        return []
    low, value, high = (next(x for x in one.at_spread if x.level == level) for level in ("low", "value", "high"))
    count = "" if value.measured_dies is None else f" of {value.measured_dies} measured dies"
    figures = (("gain", "gain_std", ""), ("offset", "offset_std_lsb", " LSB"), ("noise", "sigma_std_lsb", " LSB"))
    told = [f"{name} {_ends(low, value, high, key)}{unit}" for name, key, unit in figures]
    return [f"spread of dies{count}, with its 95 % interval: {', '.join(told)}"]


def _ends(low: AtSpread, value: AtSpread, high: AtSpread, key: str) -> str:
    return f"{getattr(value, key):.3g} ({getattr(low, key):.3g} to {getattr(high, key):.3g})"


def _share(found: Yield) -> str:
    return f"{100 * found.share:.0f} % (95 %: {100 * found.low:.0f} to {100 * found.high:.0f})"


def percent(value: float | None) -> str:
    """A fraction with two digits; empty for None."""
    return "" if value is None else f"{100 * value:.2f}"

"""Fills the tables of docs/chips.md on CIFAR-10 and draws its figures: `python experiments/chips/cifar10/tables.py`.

Nothing is evaluated. results/NAME/evaluate.json is what `imctrain evaluate` wrote for the network of seed 0,
NAME-seed-1 and NAME-seed-2 for those of other seeds, NAME-all-seed-N for fewer dies on all test images.
tuned-NAME/result.json is what an epoch on die 1 came to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from imctrain.files import write_text
from imctrain.records.evaluation import Evaluation, Evaluations, Summary
from imctrain.report.conditions_figure import draw_conditions
from imctrain.report.dies_figure import draw_dies

HERE = Path(__file__).parent
KEPT = HERE / "results"
PAGE = HERE.parents[2] / "docs" / "chips.md"
NETWORKS = {
    "silicon": "claim 1, trained on the chip",
    "float-silicon": "float, put on that chip",
    "feasible": "claim 2, trained on the chip",
    "float-feasible": "float, put on that chip",
}
REMEDIES = ("nothing read", "offsets read", "offsets read, batch statistics anew")


def kept(name: str) -> tuple[Evaluation, ...]:
    """The evaluations of one network, without a remedy first."""
    return Evaluations.read(KEPT / name / "evaluate.json").evaluations


def seeds(name: str) -> list[tuple[Evaluation, ...]]:
    """The evaluations of a network, trained with seeds 0, 1 and 2 as far as they are kept."""
    others = sorted(path.name for path in KEPT.glob(f"{name}-seed-*"))
    return [kept(found) for found in (name, *others)]


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def dies() -> str:
    """A row for each network and remedy over all seeds: its training die, the others, the share of them near float."""
    rows = ["| network | on each die | training die | 50 others | each seed | std | lowest | within 10 | within 2 |"]
    rows.append("|---|---|---|---|---|---|---|---|---|")
    for name, words in NETWORKS.items():
        for remedy, every in zip(REMEDIES, zip(*seeds(name), strict=True), strict=True):
            summaries = [one.summary for one in every]
            own = [one.own_accuracy for one in summaries if one.own_accuracy is not None]
            means = [one.mean for one in summaries]
            std = fmean(one.std**2 for one in summaries) ** 0.5
            cells = [percent(fmean(own) if own else None), percent(fmean(means)), ", ".join(map(percent, means))]
            cells += [percent(std), percent(min(one.lowest for one in summaries))]
            rows.append(f"| {' | '.join([words, remedy, *cells, *_near_float(summaries)])} |")
    return "\n".join(rows)


def every_image() -> str:
    """Other dies on all test images: the mean over dies for each seed, over seeds, and the lowest die of all."""
    rows = ["| network | on each die | each seed | mean | std of seeds | of dies | lowest | within 10 | within 2 |"]
    rows.append("|---|---|---|---|---|---|---|---|---|")
    for name, words in NETWORKS.items():
        folders = sorted(path.name for path in KEPT.glob(f"{name}-all-seed-*"))
        for remedy, every in zip(REMEDIES, zip(*map(kept, folders), strict=True), strict=True):
            summaries = [one.summary for one in every]
            means = [one.mean for one in summaries]
            std = fmean(one.std**2 for one in summaries) ** 0.5
            cells = [", ".join(map(percent, means)), *map(percent, (fmean(means), stdev(means), std))]
            cells.append(percent(min(one.lowest for one in summaries)))
            rows.append(f"| {' | '.join([words, remedy, *cells, *_near_float(summaries)])} |")
    return "\n".join(rows)


def gain_of_training(name: str) -> tuple[float, float]:
    """Points that training on the array brings on other dies over a float network put there, and their standard error.

    On all test images, each with offsets read and batch statistics anew; over seeds of both trainings.
    """
    means = []
    for network in (name, f"float-{name}"):
        folders = sorted(path.name for path in KEPT.glob(f"{network}-all-seed-*"))
        means.append([100 * kept(folder)[-1].summary.mean for folder in folders])
    error = sum(stdev(found) ** 2 / len(found) for found in means) ** 0.5
    return fmean(means[0]) - fmean(means[1]), error


def _near_float(summaries: Sequence[Summary]) -> list[str]:
    """How many dies are within 10 and within 2 points of float, over all seeds."""
    asked = [sorted((y for y in one.yields if y.below is None), key=lambda y: y.accuracy) for one in summaries]
    found = []
    for place in (0, 1):
        near = [yields[place] for yields in asked]
        found.append(f"{sum(y.passed for y in near)} of {sum(y.dies for y in near)}")
    return found


def conditions() -> str:
    """Mean over the training die and five others at every temperature and supply."""
    rows = ["| network | supply | -40 C | 25 C | 85 C |", "|---|---|---|---|---|"]
    for name in ("silicon", "feasible"):
        if not (KEPT / f"{name}-conditions").exists():
            continue
        (one,) = kept(f"{name}-conditions")
        found = {(at.conditions["supply_v"], at.conditions["temperature_c"]): at for at in one.at_conditions}
        for supply in sorted({supply for supply, _ in found}):
            at = [found[supply, degrees] for degrees in (-40.0, 25.0, 85.0)]
            cells = [f"{percent(x.own_accuracy)}, {percent(x.mean)}" for x in at]
            rows.append(f"| {NETWORKS[name]} | {supply:g} V | {' | '.join(cells)} |")
    return "\n".join(rows)


def filled() -> str:
    """The page with its tables between their marks."""
    text = PAGE.read_text(encoding="utf-8")
    tables = {"cifar10-all": every_image(), "cifar10-dies": dies(), "cifar10-conditions": conditions()}
    for name, table in tables.items():
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text, flags=re.S
        )
    return text


def tuned(name: str) -> tuple[float, float]:
    """A network on die 1, offsets read, on all test images: as it was trained, and after an epoch on that die."""
    (one,) = kept(f"{name}-10k")
    before = next(die.accuracy for die in one.dies if die.name == "die 1")
    result = json.loads((KEPT / f"tuned-{name}" / "result.json").read_text(encoding="utf-8"))
    return before, result["test_accuracy"]


if __name__ == "__main__":
    write_text(PAGE, filled())
    draw_dies(kept("silicon"), PAGE.parent / "images" / "dies-cifar10.png")
    draw_conditions(kept("silicon-conditions"), PAGE.parent / "images" / "conditions-cifar10.png")

"""What a search tried: accuracy against the energy of a training, and what it chose beside what was there by hand."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imctrain.report.numbers_in_plots import place_numbers
from imctrain.report.pareto import front
from imctrain.report.style import COLOURS, MARGIN, drawing, energy_axis, new_figure, save_figure
from imctrain.units import joules

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MADE_BY = "imctrain sweep search"
WIDTH = 7.1
ROW = 0.145
"""Height of a line below the figure, inches."""
CHARACTERS = 150
Line = Mapping[str, Any]


@drawing()
def draw_search(answer: Mapping[str, Any], target: Path) -> None:
    """Draw to `target` (format by its suffix).

    Args:
        answer: as NAME-search.json holds it (`sweep.search.answer.Answer.plain`).

    Lines without a known energy or accuracy are left out and told.
    """
    tried, found, by_hand = (_known(answer[name]) for name in ("tried", "found", "by_hand"))
    unknown = sum(len(answer[name]) for name in ("tried", "found", "by_hand")) - len(tried) - len(found) - len(by_hand)
    lines = _below(answer, found, by_hand, unknown)
    below = ROW * len(lines) + 0.6
    height = 3.3 + below
    figure = new_figure(figsize=(WIDTH, height))
    axis = figure.add_axes((0.085, below / height, 0.9, 1 - (below + 0.1) / height))
    _draw_tried(axis, tried)
    _draw_tested(axis, [*found, *by_hand])
    for name, every, colour, marker in (("chosen", found, COLOURS[1], "o"), ("by hand", by_hand, "0.2", "*")):
        places = [_place(line) for line in every]
        if places:
            axis.plot(*zip(*places, strict=True), marker, color=colour, ms=6, zorder=5, ls="none", label=name)
    if shown := [*tried, *found, *by_hand]:
        energy_axis(axis, [_place(line)[0] for line in shown])
        axis.margins(y=MARGIN)
        numbered = {len(tried) + i: i + 1 for i in range(len(found) + len(by_hand))}
        tested = [(line["training_j"], 100 * line["test"]) for line in (*found, *by_hand) if line["test"] is not None]
        place_numbers(axis, [_place(line) for line in shown], numbered, tested)
        axis.legend(loc="lower right", fontsize=7, handletextpad=0.3)
    axis.set_ylabel("accuracy (%)")
    for place, line in enumerate(lines):
        size, colour = (6.5, "black") if place < len(found) + len(by_hand) else (6, "0.35")
        figure.text(0.02, (below - 0.55 - ROW * place) / height, line, fontsize=size, va="top", color=colour)
    save_figure(figure, target, made_by=MADE_BY)


def _known(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line["training_j"] is not None and line["validation"] is not None]


def _place(line: Line) -> tuple[float, float]:
    return line["training_j"], 100 * line["validation"]


def _draw_tried(axis: Axes, tried: Sequence[Line]) -> None:
    places = [_place(line) for line in tried]
    if not places:
        return
    axis.plot(*zip(*places, strict=True), ".", color=COLOURS[0], ms=7, alpha=0.6, zorder=3, ls="none", label="tried")
    corners = sorted(place for place, best in zip(places, front(places), strict=True) if best)
    axis.step(*zip(*corners, strict=True), where="post", color=COLOURS[0], lw=1.0, zorder=2, label="front of these")


def _draw_tested(axis: Axes, lines: Sequence[Line]) -> None:
    """Test accuracies, hollow, with their intervals."""
    name: str | None = "on the test images (95 % interval)"
    for line in lines:
        if line["test"] is None:
            continue
        x, y = line["training_j"], 100 * line["test"]
        if line["test_interval"]:
            axis.plot([x, x], [100 * end for end in line["test_interval"]], color="0.5", lw=0.8, zorder=3)
        axis.plot([x], [y], "o", color="0.3", mfc="white", ms=4, mew=0.8, zorder=4, ls="none", label=name)
        name = None


def _below(answer: Mapping[str, Any], found: Sequence[Line], by_hand: Sequence[Line], unknown: int) -> list[str]:
    """A line a number, then the question, in lines that fit."""
    lines = []
    for number, line in enumerate((*found, *by_hand), 1):
        known = {key.rpartition(".")[2]: value for key, value in line["values"].items() if value is not None}
        values = ", ".join(f"{key} {value}" for key, value in known.items())
        name = line["name"] if line["name"] != "found" else ""
        test = "" if line["test"] is None else f", test {100 * line['test']:.2f} %"
        text = f"{number}  {': '.join(part for part in (name, values) if part)}: {joules(line['training_j'])}"
        lines.append(f"{text}, held-out {100 * line['validation']:.2f} %{test}")
    told = [f"Filled: accuracy on held-out training images, which settings are chosen by. {answer['question']}."]
    if unknown:
        told.append(f"{unknown} without a known energy or accuracy are not drawn.")
    return [*lines, *(line for part in told for line in textwrap.wrap(part, CHARACTERS))]

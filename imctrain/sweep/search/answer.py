"""The answer of a search: a table of what was chosen, beside what was trained by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from imctrain.files import write_text
from imctrain.intervals import wilson
from imctrain.report.search_figure import draw_search
from imctrain.units import joules


@dataclass(frozen=True)
class AnswerLine:
    """A line of the answer.

    Attributes:
        name: "found", or of a recipe or reference. values: by dotted key, what the training had.
        validation, test: accuracies, fractions, means over seeds; None where there is no result.
        images: test images that they are of. step_j, training_j: energy, J; None where none is counted.
        seeds: how many trainings each number is the mean of. folders: of the trials on the test images.
    """

    name: str
    values: Mapping[str, JsonValue]
    validation: float | None
    test: float | None
    images: int | None
    step_j: float | None
    training_j: float | None
    seeds: int = 1
    folders: tuple[str, ...] = ()
    error: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.test is None or not self.images else wilson(round(self.test * self.images), self.images)


@dataclass(frozen=True)
class Answer:
    """What a search came to.

    Attributes:
        found: what was chosen, the best first. by_hand: recipes, then references. against: the recipe that ratios are
            of. notes: what a reader should know, a line each. tried: all that was trained to its end.
    """

    question: str
    found: tuple[AnswerLine, ...]
    by_hand: tuple[AnswerLine, ...]
    against: AnswerLine
    notes: tuple[str, ...]
    tried: tuple[AnswerLine, ...] = ()

    def markdown(self) -> str:
        """The table, and its notes."""
        keys = list(dict.fromkeys(key for line in (*self.found, *self.by_hand) for key in line.values))
        short = _short_names(keys)
        head = ["", *short, "validation", "test", "95 % interval", "energy a step", "of the training"]
        head.append(f"over {self.against.name}")
        rows = [head, ["---"] * len(head)]
        for line in (*self.found, *self.by_hand):
            values = ["" if line.values.get(key) is None else _value(line.values[key]) for key in keys]
            rows.append([line.name, *values, *self._numbers(line)])
        table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        notes = "".join(f"\n- {note}" for note in self.notes)
        return f"{self.question}\n\n{table}\n{notes}\n"

    def _numbers(self, line: AnswerLine) -> list[str]:
        interval = "" if line.interval is None else "{:.1f} to {:.1f}".format(*(100 * end for end in line.interval))
        ratio = ""
        if line.training_j is not None and self.against.training_j:
            ratio = f"{line.training_j / self.against.training_j:.3g} x"
        energies = ["" if energy is None else joules(energy) for energy in (line.step_j, line.training_j)]
        return [_percent(line.validation) or line.error, _percent(line.test), interval, *energies, ratio]

    def plain(self) -> dict[str, object]:
        """As JSON: accuracies are fractions, energies J."""
        return {
            "question": self.question,
            "found": [_plain(line) for line in self.found],
            "by_hand": [_plain(line) for line in self.by_hand],
            "ratios_against": self.against.name,
            "notes": list(self.notes),
            "tried": [_plain(line) for line in self.tried],
        }

    def write(self, results: Path, name: str) -> Path:
        """NAME-search.md, .json, .png and .svg in a sweep's results; returns the first."""
        results.mkdir(parents=True, exist_ok=True)
        plain = self.plain()
        write_text(results / f"{name}-search.json", json.dumps(plain, indent=1) + "\n")
        for suffix in ("png", "svg"):
            draw_search(plain, results / f"{name}-search.{suffix}")
        target = results / f"{name}-search.md"
        write_text(target, self.markdown())
        return target


def _plain(line: AnswerLine) -> dict[str, object]:
    return {**vars(line), "values": dict(line.values), "folders": list(line.folders), "test_interval": line.interval}


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def _value(value: JsonValue) -> str:
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value) if not isinstance(value, str) else value


def _short_names(keys: Sequence[str]) -> list[str]:
    """The last part of each key, and as much before it as tells two apart."""
    names = {}
    for key in keys:
        parts = key.split(".")
        ends = (".".join(parts[-n:]) for n in range(1, len(parts) + 1))
        names[key] = next(
            end for end in ends if end == key or sum(other == end or other.endswith(f".{end}") for other in keys) == 1
        )
    return list(names.values())

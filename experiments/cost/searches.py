"""Draw what kept searches found, and fill the tables of docs/search.md and docs/cost.md.

`python experiments/cost/searches.py`. Nothing is trained. results/search-NAME.json is NAME-search.json of the sweep's
folder, as `imctrain sweep search` wrote it, and tested-NAME.json the table of its tested trainings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imctrain.files import write_text
from imctrain.report.search_figure import draw_search
from imctrain.units import joules

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KEPT = HERE / "results"
DOCS = ROOT / "docs"
NOISES = {"silicon": "1 LSB", "feasible": "0.25 LSB"}
POINTS = (2.0, 10.0)
SHORT = {
    "imc.adc.bits": "ADC bits", "imc.array.rows": "rows", "imc.array.input_bits": "input bits",
    "imc.mapping.planes": "planes", "imc.mapping.gradient_samples": "repeats", "imc.mapping.gradient": "mapping",
    "imc.mapping.full_drive": "full drive",
}  # fmt: skip
Line = Mapping[str, Any]


def kept() -> dict[str, Any]:
    """{name: what the search came to} of all that are kept."""
    files = sorted(KEPT.glob("search-*.json"))
    return {file.stem.removeprefix("search-"): json.loads(file.read_text(encoding="utf-8")) for file in files}


def cheapest(answer: Mapping[str, Any], points: float) -> Line | None:
    """The training of least energy among what was tried, at most `points` below float on the held-out images."""
    reference = next(line["validation"] for line in answer["by_hand"] if line["name"] == "float")
    within = [line for line in answer["tried"] if 100 * (reference - line["validation"]) <= points + 1e-9]
    return min(within, key=lambda line: line["training_j"], default=None)


def digits(answer: Mapping[str, Any]) -> str:
    """The answer of the digits' search and what it is compared with."""
    return _table([*answer["found"], *answer["by_hand"]], answer)


def cifar10(answers: Mapping[str, Any]) -> str:
    """For each noise: the cheapest of what was tried within each number of points, then what is by hand."""
    lines = []
    for name, noise in NOISES.items():
        answer = answers[name]
        lines += [{**line, "name": f"{noise}: {text}"} for text, line in _chosen(answer)]
        lines += [{**line, "name": f"{noise}: {_by_hand(line['name'])}"} for line in answer["by_hand"]]
        lines.append({**int8(name, answer), "name": f"{noise}: float, INT8"})
    return _table(lines, answers["silicon"], against=False)


def int8(name: str, answer: Mapping[str, Any]) -> Line:
    """Float training at the energy of INT8, by the recipe's ratio. Nothing was trained in INT8: accuracy is float's."""
    trials = json.loads((KEPT / f"tested-{name}.json").read_text(encoding="utf-8"))["trials"]
    recipe = next(trial for trial in trials if trial["variant"] == "recipe")
    reference = next(line for line in answer["by_hand"] if line["name"] == "float")
    return {**reference, "training_j": recipe["energy_training_j"] * recipe["digital_int8_ratio"]}


def _chosen(answer: Mapping[str, Any]) -> list[tuple[str, Line]]:
    found = [(f"cheapest within {points:g} points", cheapest(answer, points)) for points in POINTS]
    best = max(answer["tried"], key=lambda line: line["validation"])
    chosen = [(text, line) for text, line in found if line is not None]
    # Each of the front was measured on the test images: a line of the front knows more than that of the trial.
    tested = {json.dumps(line["values"]): line for line in answer["found"]}
    return [(text, tested.get(json.dumps(line["values"]), line)) for text, line in [*chosen, ("most accurate", best)]]


def _by_hand(name: str) -> str:
    return {"recipe": "recipe by hand", "float": "float, FP32", "digital": "the formats, digital"}[name]


def _table(lines: Sequence[Line], answer: Mapping[str, Any], against: bool = True) -> str:
    keys = list(answer["tried"][0]["values"])
    head = ["", *(SHORT[key] for key in keys), "held-out", "test", "95 % interval", "energy"]
    recipe = next(line for line in answer["by_hand"] if line["name"] == "recipe")
    head += ["over recipe"] if against else []
    rows = [head, ["---"] * len(head)]
    for line in lines:
        test, interval = line["test"], line["test_interval"]
        values = ["" if line["values"].get(key) is None else _word(line["values"][key]) for key in keys]
        cells = [line["name"], *values, f"{100 * line['validation']:.2f} %"]
        cells += ["" if test is None else f"{100 * test:.2f} %"]
        cells += ["" if interval is None else "{:.1f} to {:.1f}".format(*(100 * end for end in interval))]
        cells.append(joules(line["training_j"]))
        cells += [f"{line['training_j'] / recipe['training_j']:.3g} x"] if against else []
        rows.append(cells)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _word(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def filled() -> dict[Path, str]:
    """Pages with their tables between their marks."""
    answers = kept()
    tables = {DOCS / "search.md": ("digits", digits(answers["digits"]))}
    if set(NOISES) <= set(answers):
        tables[DOCS / "cost.md"] = ("searches", cifar10(answers))
    pages = {}
    for page, (name, table) in tables.items():
        pattern = rf"(<!-- {name} -->\n).*?(\n<!-- end -->)"
        text = page.read_text(encoding="utf-8")
        pages[page] = re.sub(pattern, lambda m, t=table: m[1] + t + m[2], text, flags=re.DOTALL)
    return pages


def main() -> None:
    for name, answer in kept().items():
        for suffix in ("png", "svg"):
            draw_search(answer, DOCS / "images" / f"search_{name}.{suffix}")
    for page, text in filled().items():
        write_text(page, text)


if __name__ == "__main__":
    main()

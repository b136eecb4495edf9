"""The tables of docs/reliability.md from the figures of campaigns (`--figures`).

`python tests/torture/page.py` writes it anew from the kept ones, `python tests/torture/page.py FILE ...` from others.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KEPT = HERE / "figures.json"
PAGE = HERE.parents[1] / "docs" / "reliability.md"


PARTS = ("kills", "signals", "brought to the end", "full disks", "crowds", "fuzzed inputs", "soak")
"""In the order of the page; parts of another name follow."""


def table(campaigns: Sequence[Mapping[str, Any]]) -> str:
    """A table of each part: a row for each campaign, a column for each kind, how often and how many failed."""
    names = dict.fromkeys((*PARTS, *(name for figures in campaigns for name in figures["parts"])))
    lines = []
    for name in names:
        parts = {number: figures["parts"].get(name) for number, figures in enumerate(campaigns, 1)}
        lines += _of_a_part(name, {number: part for number, part in parts.items() if part})
    lines += ["Campaigns:", ""]
    for number, figures in enumerate(campaigns, 1):
        where = f"{figures['date']}, commit {figures['commit']}, {figures['machine']}, {figures['minutes']:g} minutes"
        lines.append(f"{number}. {where}, seed {figures['seed']}.")
    return "\n".join(lines)


def _of_a_part(name: str, parts: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Lines of one table; of several campaigns the last row is the sum."""
    counts = {number: _kinds(part["done"]) for number, part in parts.items()}
    kinds = sorted({kind for done in counts.values() for kind in done})
    notes = list(dict.fromkeys(what for part in parts.values() for what in part["notes"]))
    lines = []
    for number, part in parts.items():
        if part["skipped"]:
            lines.append(f"{name[0].upper() + name[1:]}, campaign {number}: skipped, {part['skipped']}.")
            lines.append("")
    done = {number: part for number, part in parts.items() if not part["skipped"]}
    if not done:
        return lines
    rows = [
        [
            str(number),
            *(_number(counts[number].get(kind)) for kind in kinds),
            *(_number(part["notes"].get(what)) for what in notes),
            str(len(part["failed"])),
        ]
        for number, part in done.items()
    ]
    if len(done) > 1:
        sums = [_number(sum(counts[number].get(kind, 0) for number in done)) for kind in kinds]
        failed = sum(len(part["failed"]) for part in done.values())
        rows.append(["all", *sums, *("" for _ in notes), str(failed)])
    head = [f"{name}, campaign", *kinds, *notes, "failed"]
    return [*lines, *(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)), ""]


def _kinds(done: Mapping[str, int]) -> dict[str, int]:
    """Without how each ended, or by which signal, which stands behind the last comma."""
    kinds: dict[str, int] = {}
    for kind, count in done.items():
        short = kind.rsplit(", ", 1)[0]
        kinds[short] = kinds.get(short, 0) + count
    return kinds


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def main(files: Sequence[str] = ()) -> None:
    """Make the tables anew; campaigns in files come instead of those that are kept."""
    if files:
        campaigns = [json.loads(Path(file).read_text(encoding="utf-8")) for file in files]
        KEPT.write_text(json.dumps(campaigns, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    made = table(json.loads(KEPT.read_text(encoding="utf-8")))
    found = re.sub(r"(<!-- torture -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{made}\n{m[2]}", text, flags=re.DOTALL)
    PAGE.write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

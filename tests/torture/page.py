"""The table of docs/reliability.md from the figures of campaigns (`--figures`).

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


def table(campaigns: Sequence[Mapping[str, Any]]) -> str:
    """Of each part what was done, how often, and how many failed; a line on each failure, and on each campaign."""
    lines = ["| part | done | failed | campaign |", "|---|---|---|---|"]
    for number, figures in enumerate(campaigns, 1):
        for name, part in figures["parts"].items():
            kinds: dict[str, int] = {}
            for kind, count in part["done"].items():
                kinds[kind.rsplit(", ", 1)[0]] = kinds.get(kind.rsplit(", ", 1)[0], 0) + count
            done = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
            notes = "".join(f"; {what} {value:,.0f}" for what, value in part["notes"].items())
            lines.append(f"| {name} | {part['skipped'] or done}{notes} | {len(part['failed'])} | {number} |")
    lines.append("")
    for number, figures in enumerate(campaigns, 1):
        where = f"{figures['date']}, commit {figures['commit']}, {figures['machine']}, {figures['minutes']:g} minutes"
        lines.append(f"{number}. {where}, seed {figures['seed']}.")
    return "\n".join(lines)


def main(files: Sequence[str] = ()) -> None:
    """Make the table anew; campaigns in files come instead of those that are kept."""
    if files:
        campaigns = [json.loads(Path(file).read_text(encoding="utf-8")) for file in files]
        KEPT.write_text(json.dumps(campaigns, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    made = table(json.loads(KEPT.read_text(encoding="utf-8")))
    found = re.sub(r"(<!-- torture -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{made}\n{m[2]}", text, flags=re.DOTALL)
    PAGE.write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

"""The table of docs/reliability.md from the figures of a campaign: `python tests/torture/page.py` writes it anew."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KEPT = HERE / "figures.json"
PAGE = HERE.parents[1] / "docs" / "reliability.md"


def table(figures: Mapping[str, Any]) -> str:
    """Of each part what was done, how often, and how many failed."""
    lines = ["| part | done | failed |", "|---|---|---|"]
    for name, part in figures["parts"].items():
        kinds: dict[str, int] = {}
        for kind, count in part["done"].items():
            kinds[kind.rsplit(", ", 1)[0]] = kinds.get(kind.rsplit(", ", 1)[0], 0) + count
        done = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
        notes = "".join(f"; {what} {value:,.0f}" for what, value in part["notes"].items())
        lines.append(f"| {name} | {part['skipped'] or done}{notes} | {len(part['failed'])} |")
    where = f"{figures['date']}, commit {figures['commit']}, {figures['machine']}, {figures['minutes']:g} minutes, seed"
    return "\n".join([*lines, "", f"{where} {figures['seed']}."])


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    made = table(json.loads(KEPT.read_text(encoding="utf-8")))
    found = re.sub(r"(<!-- torture -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{made}\n{m[2]}", text, flags=re.DOTALL)
    PAGE.write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()

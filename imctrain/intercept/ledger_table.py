"""A ledger as a table: plain text for a terminal, HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable

from imctrain.imc.mvm.plan import MvmPlan

HEADER = ("site", "path", "MVM", "vectors x contraction x outputs", "tiles", "passes", "planes", "conversions")
LEFT = 3
"""Columns of words, from the left; the others are of numbers."""
Row = tuple[str, ...]


def mvm_row(site: str, path: str, plan: MvmPlan, executions: int | None) -> Row:
    """Of one MVM; executions: times that the site runs in a call, None where that is not known (counted once)."""
    size = f"{plan.vectors} x {plan.contraction} x {plan.outputs}"
    size = size if plan.groups == 1 else f"{plan.groups} x ({size})"
    if plan.is_digital:
        return site, "digital", plan.name, size, *[""] * 4
    passes = str(plan.passes) if plan.samples == 1 else f"{plan.passes} x {plan.samples}"
    conversions = plan.conversions * (executions or 1)
    return site, path, plan.name, size, str(plan.tiles.count), passes, str(plan.planes), f"{conversions:,}"


def as_text(rows: Iterable[Row]) -> str:
    """Columns aligned, a line each."""
    table = [HEADER, *_once(rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(HEADER))]
    lines = []
    for row in table:
        cells = (
            cell.ljust(width) if place < LEFT else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_html(rows: Iterable[Row]) -> str:
    """A table element."""

    def line(tag: str, row: Row) -> str:
        cells = (
            f'<{tag} style="text-align: {"left" if place < LEFT else "right"}">{html.escape(cell)}</{tag}>'
            for place, cell in enumerate(row)
        )
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(line("td", row) for row in _once(rows))
    return f"<table><thead>{line('th', HEADER)}</thead><tbody>{body}</tbody></table>"


def _once(rows: Iterable[Row]) -> list[Row]:
    """The same rows, a site's name on the first of its rows only."""
    told, before = [], None
    for row in rows:
        told.append(row if row[0] != before else ("", *row[1:]))
        before = row[0]
    return told

"""What `imctrain calibrate --dry-run` prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imctrain.calibration.reading.survey import Survey


def print_survey(survey: Survey, path: Path) -> None:
    """What was understood of a file, on stdout. Raises the UserError that calibration would end with."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    console.print(f"{path}: {', '.join(survey.form)}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("in the file", "read as", "unit", "values as read"):
        table.add_column(title)
    for column in survey.columns:
        table.add_row(column.header, column.meaning, column.unit, column.values)
    console.print(table)
    rows = f"{survey.rows:,} conversions"
    console.print(f"{rows}, {survey.left_out:,} of them left out" if survey.left_out else rows)
    if survey.first is not None:
        first = Table(box=None, pad_edge=False, header_style="bold")
        for name in survey.first.columns:
            first.add_column(name, justify="right")
        for row in survey.first.iter_rows():
            first.add_row(*(f"{value:.9g}" if isinstance(value, float) else str(value) for value in row))
        console.print("the first ones, as they would be fitted (v is the input as a fraction of full scale):")
        console.print(first)
    for note in survey.notes:
        console.print(f"note: {note}", soft_wrap=True)
    console.print("nothing was fitted or written (--dry-run)")
    if survey.refused is not None:
        raise survey.refused

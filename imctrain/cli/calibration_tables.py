"""Figures of calibrations as tables in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imctrain.calibration import Calibration


def print_figures(calibration: Calibration) -> None:
    """Of one calibration, with its intervals and notes, on stdout."""
    from rich.console import Console
    from rich.table import Table

    from imctrain.calibration.summary.figures import figures
    from imctrain.calibration.summary.headline import geometry, origin

    console = Console(highlight=False, markup=False)
    console.print(f"{calibration.name}: {origin(calibration)}", soft_wrap=True)
    console.print(geometry(calibration), soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for figure in figures(calibration):
        table.add_row(figure.label, figure.text, figure.interval)
    table.add_row("r2 of codes", f"{calibration.fit.r2:.5f}", "")
    console.print(table)
    for warning in calibration.fit.warnings:
        console.print(f"note: {warning}", soft_wrap=True)


def print_comparison(a: Calibration, b: Calibration) -> None:
    """Of two calibrations, side by side, on stdout: `a` is the new one, `b` what it is compared with."""
    from rich.console import Console
    from rich.table import Table

    from imctrain.calibration.compare.differences import column_differences, side_by_side
    from imctrain.calibration.summary.headline import origin

    console = Console(highlight=False, markup=False)
    for letter, c in (("A", a), ("B", b)):
        console.print(f"{letter}  {c.name}: {origin(c)}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for words in ("A", "B", "A - B"):
        table.add_column(words, justify="right")
    for one, other, verdict in side_by_side(a, b):
        table.add_row(one.label, one.text, other.text, verdict)
    console.print(table)
    console.print("A - B: the given file (A, new) less the one it is compared with (B, old); % of B", soft_wrap=True)
    columns = column_differences(a, b)
    if columns is None:
        console.print("no column is listed in both")
        return
    console.print(
        f"{columns['columns']:.0f} columns in both: gains differ by {100 * columns['gain_rms']:.3f} % rms "
        f"(correlation {columns['gain_correlation']:.3f}), offsets by {columns['offset_rms_lsb']:.3f} LSB rms "
        f"(correlation {columns['offset_correlation']:.3f})",
        soft_wrap=True,
    )

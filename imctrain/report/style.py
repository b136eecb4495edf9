"""One look for all figures: print-sized, colour-blind safe, readable in grey."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from imctrain.errors import UserError
from imctrain.files import replacing
from imctrain.paths import is_file

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Outside = Literal["outside lower center", "outside upper center", "outside upper right"]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe-Ito palette."""
DATES = {".svg": ("Date",), ".pdf": ("CreationDate",)}
"""Of a file's metadata: what would differ each time."""
STYLE_VARIABLE = "IMCTRAIN_STYLE"
WIDTH_VARIABLE = "IMCTRAIN_WIDTH"
COLUMN_INCHES = {"column": 3.5, "page": 7.16}
"""Widths of one and two columns of an IEEE paper."""
LEAST_SHAPE = 0.8
"""Height over width of a figure that was made narrower, where it was not flatter before."""
WIDE = 4.0
"""An axis of energies that spans more is logarithmic."""
DECADES = 30.0
"""... and one that spans more has one tick a decade."""
MARGIN = 0.08
"""Beside the points, as a share of what they span."""


def _project() -> dict[Any, Any]:
    """Of matplotlib's settings, those of the project."""
    from cycler import cycler

    return {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.labelsize": 9,
        "legend.fontsize": 8,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.5,
        "legend.frameon": False,
        # Names are the user's, and "$" is a letter in them.
        "text.parse_math": False,
        "axes.unicode_minus": True,
        "savefig.dpi": 200,
        "svg.hashsalt": "imctrain",
        # Text stays text in a drawing program, and in a journal's checks.
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "axes.prop_cycle": cycler(color=COLOURS),
    }


@contextmanager
def drawing(style: str | None = None) -> Iterator[None]:
    """Within it, figures have the project's look and over it the user's style (`--style`); also a decorator.

    The matplotlib of who calls stays as it was: a notebook's style, its backend and its open figures. Figures are made
    by `new_figure` and `subplots`.

    Args:
        style: of one figure, over that of all.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_project())
        for each in (os.environ.get(STYLE_VARIABLE) or None, style):
            with_style(each)
        yield


def new_figure(**options: Any) -> Figure:
    """A figure that belongs to no window and to no notebook. Options are matplotlib's."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(**options)
    FigureCanvasAgg(figure)
    return figure


def subplots(
    rows: int = 1, columns: int = 1, *, figsize: tuple[float, float], layout: Any = None, **options: Any
) -> tuple[Figure, Any]:
    """`new_figure` with axes, as matplotlib.pyplot.subplots makes them."""
    figure = new_figure(figsize=figsize, layout=layout)
    return figure, figure.subplots(rows, columns, **options)


def look(style: str | None, width: str | None) -> None:
    """Of all figures of this process and of those that it starts, over the project's. Raises UserError, at once."""
    asked = {STYLE_VARIABLE: style, WIDTH_VARIABLE: width}
    chosen = {name: value or os.environ.get(name) for name, value in asked.items()}
    if all_width := chosen[WIDTH_VARIABLE]:
        inches(all_width)
    if all_style := chosen[STYLE_VARIABLE]:
        with drawing(all_style):
            pass
    if style is not None and is_file(Path(style)):
        asked[STYLE_VARIABLE] = str(Path(style).absolute())
    os.environ.update({name: value for name, value in asked.items() if value is not None})


def with_style(style: str | None) -> None:
    """Put a matplotlib style over the project's: a file, or a name that matplotlib knows. Raises UserError."""
    if style is None:
        return
    import matplotlib.style

    try:
        matplotlib.style.use(style)
    except (OSError, ValueError, UnicodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"--style {style} is no style of matplotlib ({reason}): give a .mplstyle file, or a name"
        ) from None
    # Names are the user's still.
    matplotlib.rcParams["text.parse_math"] = False


def inches(text: str) -> float:
    """A width in inches: "3.5in", "89mm", "8.9cm", "column" or "page" of a two-column paper. Raises UserError."""
    if text in COLUMN_INCHES:
        return COLUMN_INCHES[text]
    units = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27}
    for unit, factor in units.items():
        try:
            width = float(text.removesuffix(unit)) * factor if text.endswith(unit) else None
        except ValueError:
            break
        if width is not None and 1.0 <= width <= 30.0:
            return width
    raise UserError(f"--width {text}: give column, page, or a number with in, cm, mm or pt, of 1 to 30 inches: 3.5in")


def legend_outside(
    figure: Figure,
    where: Outside,
    ncols: int,
    named: tuple[Sequence[Artist], Sequence[str]] | None = None,
    fontsize: float | None = None,
) -> None:
    """A legend beside the axes, in as many columns as the figure is wide enough for.

    Args:
        ncols: at most. named: artists and their labels; what the axes hold by default.
    """
    for columns in range(ncols, 0, -1):
        legend = figure.legend(*(named or ()), loc=where, ncols=columns, fontsize=fontsize)  # type: ignore[arg-type]
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def energy_axis(axis: Axes, energies: Sequence[float]) -> None:
    """Energies of trainings, J, along x: wide enough for all, logarithmic where they span much."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    low, high = min(energies), max(energies)
    if low > 0 and high / low > WIDE:
        axis.set_xscale("log")
        room = (high / low) ** MARGIN
        axis.set_xlim(low / room, high * room)
        # Names of ticks are wide ("500 uJ"): over several decades there is room for one a decade.
        subs = (1.0,) if high / low > DECADES else (1.0, 2.0, 5.0)
        axis.xaxis.set_major_locator(LogLocator(subs=subs))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = MARGIN * (high - low or high or 1.0)
        axis.set_xlim(low - room, high + room)
    axis.xaxis.set_major_formatter(EngFormatter(unit="J", sep=" "))
    axis.set_xlabel("energy of the training")


def plain_ticks(axis: Axes, which: Literal["x", "y"]) -> None:
    """Numbers of a logarithmic axis as plain text: matplotlib writes powers as mathematics, which is off (`pyplot`)."""
    from matplotlib.ticker import NullFormatter

    line = axis.xaxis if which == "x" else axis.yaxis
    line.set_major_formatter("{x:g}")
    line.set_minor_formatter(NullFormatter())


def save_figure(
    figure: Figure, *targets: Path, dpi: int | None = None, made_by: str | None = None, sized: bool = False
) -> None:
    """Write a figure whole or not at all, in the format of each target's suffix, the same bytes every time.

    Args:
        made_by: told in the file, in place of matplotlib. sized: it has the width that was asked for it alone.
    """
    width = os.environ.get(WIDTH_VARIABLE)
    # A figure that was laid out by hand, for its notes, has room at its own size alone.
    if width and not sized and figure.get_layout_engine() is not None:
        wide, high = figure.get_size_inches()
        chosen = inches(width)
        # Panels side by side stay as high as their labels need.
        figure.set_size_inches(chosen, max(high * chosen / wide, min(high, LEAST_SHAPE * chosen)))
    for target in targets:
        maker = "Software" if target.suffix == ".png" else "Creator"
        metadata: dict[str, str | None] = dict.fromkeys(DATES.get(target.suffix, ()))
        if made_by is not None:
            metadata[maker] = made_by
        with replacing(target) as temporary:
            figure.savefig(temporary, format=target.suffix[1:], metadata=metadata, dpi=dpi)

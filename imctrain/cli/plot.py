"""`imctrain plot`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from imctrain.cli.options import Force
from imctrain.errors import UserError
from imctrain.files import refuse_overwrite

FORMATS = ("pdf", "svg", "png")


def plot(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that holds runs or sweeps.", show_default=False)
    ],
    x: Annotated[str, typer.Option("--x", metavar="KEY", help="Along x: a key of configs or results.")],
    y: Annotated[str, typer.Option("--y", metavar="KEY", help="Along y.")] = "accuracy",
    hue: Annotated[
        str | None, typer.Option("--hue", metavar="KEY", help="A colour for each of its values.", show_default=False)
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(
            "--width", metavar="W", help="column, page, or a length: 3.5in, 89mm (default: column).", show_default=False
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", metavar="F,..", help="pdf, svg, png; several with commas.")
    ] = "pdf",
    style: Annotated[
        str | None,
        typer.Option("--style", metavar="FILE", help="A matplotlib style, or its name.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Without its ending (default: DIR/plot-X).", show_default=False
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Draw a number of all finished runs below a folder against any key.

    Keys are those of configs (imc.noise.sigma_lsb, model.width) and of
    result.json (energy_training_j, seconds); `accuracy` is that on the test
    images, or on the held-out ones where those were not measured. Runs that are
    alike in x and hue are points, their means a line.

    --width column is 3.5 inches and page 7.16, one and two columns of a paper.
    Text in PDF and SVG stays text. A style (a .mplstyle file) goes over the
    project's own; it may set fonts, sizes and colours.

    Examples:

        imctrain plot runs/noise --x imc.noise.sigma_lsb --hue imc.mapping.gradient

        imctrain plot runs --x energy_training_j --hue model.name --width 89mm --format pdf,svg --style paper.mplstyle
    """
    from imctrain.report.plot import MADE_BY, draw_points, points_of
    from imctrain.report.style import WIDTH_VARIABLE, inches

    suffixes = [part.strip().lstrip(".") for part in formats.split(",")]
    unknown = [suffix for suffix in suffixes if suffix not in FORMATS]
    if unknown:
        raise UserError(f"--format {unknown[0]}: allowed is {', '.join(FORMATS)}")
    size = inches(width or os.environ.get(WIDTH_VARIABLE) or "column")
    base = out if out is not None else folder / f"plot-{x.replace('/', '-')}"
    if base.suffix.lstrip(".") in FORMATS:
        base = base.with_suffix("")
    targets = [base.with_name(f"{base.name}.{suffix}") for suffix in dict.fromkeys(suffixes)]
    for target in targets:
        refuse_overwrite(target, "--out", force=force, made_by=MADE_BY)
    points = points_of(folder, x, y, hue)
    try:
        draw_points(points, targets, width=size, style=style)
    except OSError as error:
        raise UserError(f"{base} cannot be written ({error.strerror}): choose another place with --out") from None
    runs = sum(len(values) for found in points.by_hue.values() for values in found.values())
    left = f"; {points.left_out} without such a value left out" if points.left_out else ""
    typer.echo(f"{runs} runs in {', '.join(map(str, targets))}{left}")

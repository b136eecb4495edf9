"""`imctrain calibrate`."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imctrain.cli.options import Force
from imctrain.errors import UserError
from imctrain.files import refuse_overwrite

if TYPE_CHECKING:
    from imctrain.calibration import Calibration
    from imctrain.calibration.reading.how import HowToRead
    from imctrain.calibration.reading.setup import MeasurementSetup
    from imctrain.calibration.sections.evidence import Evidence

MADE_BY = "imctrain calibrate"
PLOTS = (".png", ".pdf")


class Polarity(StrEnum):
    bipolar = "bipolar"
    unipolar = "unipolar"


class Decimal(StrEnum):
    point = "point"
    comma = "comma"


class Cell(StrEnum):
    and_cell = "and"
    xnor = "xnor"


def calibrate(
    measured: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Conversions: a text table or parquet.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE.json", help="Calibration to write (default: beside FILE).", show_default=False
        ),
    ] = None,
    force: Force = False,
    plot: Annotated[bool, typer.Option("--plot", help="Write a datasheet page too, as PNG and PDF.")] = False,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare", metavar="NAME|FILE.json", help="Print and plot beside another one, and FILE less that."
        ),
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option("--check", metavar="NAME|FILE.json", help="Only validate calibrations; may be repeated."),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(help="N, rows of the array; needed for `dot`.", show_default=False)
    ] = None,
    levels: Annotated[
        int | None, typer.Option(help="L, largest input code (16 for 5 bits); needed for `dot`.", show_default=False)
    ] = None,
    columns: Annotated[int | None, typer.Option(help="Columns of the array.", show_default=False)] = None,
    cell: Annotated[Cell, typer.Option(help="Cells of the array.")] = Cell.and_cell,
    bits: Annotated[int, typer.Option(help="Resolution of the ADC.")] = 8,
    polarity: Annotated[
        Polarity, typer.Option(help="bipolar: codes around 0, v in [-1, 1]; unipolar: codes from 0, v in [0, 1].")
    ] = Polarity.bipolar,
    zero_code: Annotated[int, typer.Option(help="Code of v = 0, such as 128 of an offset-binary 8-bit ADC.")] = 0,
    reference: Annotated[
        float, typer.Option("--range", help="Reference range R of conversions without a `range` column.")
    ] = 1.0,
    die: Annotated[str | None, typer.Option(help="Die whose columns to keep (default: the first in FILE).")] = None,
    single_column: Annotated[
        bool, typer.Option("--single-column", help="Accept a file of one column: its spread is then not known.")
    ] = False,
    leave_out_missing: Annotated[
        bool, typer.Option("--leave-out-missing", help="Go on without rows that lack a value; a note counts them.")
    ] = False,
    skip_bad: Annotated[
        float,
        typer.Option(
            metavar="FRACTION", help="Leave out rows that cannot be right, up to this share; a note says which."
        ),
    ] = 0.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is understood of FILE; fit and write nothing.")
    ] = False,
    full_scale: Annotated[
        float | None,
        typer.Option(metavar="VOLTS", help="Full scale of inputs (and ranges) in volts.", show_default=False),
    ] = None,
    codes: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help="How codes are written and what they mean: decimal, hex or binary; signed, twos-complement or "
            "offset-binary; or both with a comma.",
            show_default=False,
        ),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=HEADER", help="Which header is `column`, `ideal`, `code` ...; may be repeated."),
    ] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=UNIT", help="Unit of a column, such as ideal=mV, temperature_c=K; may be repeated."),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="HEADER", help="A column not to use; may be repeated.")
    ] = None,
    first_column: Annotated[int, typer.Option(help="Number of the first column in FILE.")] = 0,
    separator: Annotated[
        str | None,
        typer.Option(help="comma, semicolon, tab, pipe or blanks (default: what FILE shows).", show_default=False),
    ] = None,
    decimal: Annotated[
        Decimal | None, typer.Option(help="The decimal mark (default: what FILE shows).", show_default=False)
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Such as utf-16 or cp1252 (default: what FILE shows).", show_default=False)
    ] = None,
    assumed: Annotated[
        bool, typer.Option("--assumed", help="The conversions are not a chip's (a circuit simulation's, say).")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the calibration (default: that of the file).")] = None,
    notes: Annotated[str, typer.Option(help="What to note in it: chip, lab, conditions.")] = "",
    bootstrap: Annotated[int, typer.Option(help="Replicates of the bootstrap, for the intervals.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.", min=0)] = 0,
) -> None:
    """Turn a chip's measured conversions into a calibration that experiments load.

    FILE has one row per conversion: `column` (from 0), `ideal` (the input v as
    a fraction of full scale, in [-1, 1]) or `dot` (its integer sum; needs
    --rows and --levels), `code` (the ADC's output); optional `range`
    (reference range R), `die`, `temperature_c`, `vdd_v`, `time_s`, `repeat`.
    Tables with a column per ADC or per bit, units in headers, preambles,
    other separators, encodings and packings are read too (docs/calibration.md);
    --dry-run says what is understood.

    Fitted, by maximum likelihood on rounded and clipped codes: gain, offset
    and noise of every column, the INL they share, the noise before the range
    and in the converter (with more than one `range`), and what depends on
    temperature, supply and die, each with a 95 % interval.

    Examples:

      imctrain calibrate measured.csv --rows 1152 --levels 16 --plot

      imctrain calibrate export.txt --dry-run

      imctrain calibrate chip7.parquet -o calibration/chip7.json --bits 6

      imctrain calibrate friday.json --compare monday.json

      imctrain calibrate --check chip7.json
    """
    if check:
        if measured is not None or out is not None or plot or compare is not None:
            raise UserError("--check only validates: give it without FILE, --out, --plot and --compare")
        _check(check)
        return
    if measured is None:
        raise UserError("calibrate needs a FILE of conversions (or --check FILE.json); see `imctrain calibrate --help`")
    if measured.suffix == ".json":
        _compare_files(measured, compare, out, plot, force)
        return
    from imctrain.calibration import load_calibration
    from imctrain.calibration.calibrate import Request, calibrate_file
    from imctrain.calibration.reading.endings import without_endings
    from imctrain.calibration.reading.how import HowToRead, codes_of, pairs, separator_of
    from imctrain.calibration.reading.open_table import refuse_folder
    from imctrain.calibration.reading.setup import MeasurementSetup
    from imctrain.cli.bars import bars
    from imctrain.cli.calibration_tables import print_comparison, print_figures

    setup = MeasurementSetup(bits, polarity.value, reference, zero_code, rows, levels, columns, cell.value)
    base, form = codes_of(codes)
    how = HowToRead(
        leave_out_missing,
        skip_bad,
        full_scale,
        base,
        form,
        pairs("--field", field or ()),
        pairs("--unit", unit or ()),
        tuple(ignore or ()),
        first_column,
        separator_of(separator),
        None if decimal is None else decimal.value,
        encoding,
    )
    if dry_run:
        _dry_run(measured, setup, how, plot or compare is not None or out is not None)
        return
    refuse_folder(measured)
    target = out or measured.with_name(f"{without_endings(measured.name)}.json")
    other = None if compare is None else load_calibration(compare)
    _refuse_target(target, measured)
    pictures = [target.with_suffix(suffix) for suffix in PLOTS] if plot else []
    if other is not None:
        pictures += [_comparison_path(target, other, suffix) for suffix in PLOTS]
    _refuse_pictures(pictures, force)
    request = Request(name or target.stem, notes, assumed, die, single_column, bootstrap, seed, how=how)
    with bars("reading", "fitting") as (reading, fitting):
        calibration, evidence = calibrate_file(measured, setup, request, reading, fitting)
    _write(calibration, evidence if plot else None, other, target)
    print_figures(calibration)
    if other is not None:
        print_comparison(calibration, other)
    typer.echo(f"{calibration.provenance}: written to {', '.join(map(str, [target, *pictures]))}")


def _dry_run(measured: Path, setup: MeasurementSetup, how: HowToRead, more: bool) -> None:
    """Say what is understood of the file."""
    from imctrain.calibration.reading.survey import survey
    from imctrain.cli.bars import bars
    from imctrain.cli.understood import print_survey

    if more:
        raise UserError("--dry-run writes nothing: give it without --out, --plot and --compare")
    with bars("reading") as (reading,):
        found = survey(measured, setup, how, reading)
    print_survey(found, measured)


def _refuse_target(target: Path, measured: Path) -> None:
    """What must not be written over, told before any work is done."""
    from imctrain.calibration import load_calibration

    if target.suffix != ".json":
        raise UserError(f"--out {target}: a calibration is JSON: give a name that ends in .json")
    if not target.parent.is_dir():
        raise UserError(f"--out {target}: folder {target.parent} does not exist: create it or choose another output")
    if target.exists():
        try:
            load_calibration(str(target.absolute()))
        except UserError:
            raise UserError(
                f"--out {target}: there is a file that is not a calibration; move it or choose another name"
            ) from None


def _refuse_pictures(pictures: list[Path], force: bool) -> None:
    for picture in pictures:
        refuse_overwrite(picture, "--plot", force=force, made_by=MADE_BY)


def _made_by(suffix: str) -> dict[str, str]:
    """Metadata of a picture, by which it may be replaced later."""
    return {"Software" if suffix == ".png" else "Creator": MADE_BY}


def _comparison_path(target: Path, other: Calibration, suffix: str) -> Path:
    """Of a plot; `target` may be any name that --out gives beside a calibration, so that only known endings are cut."""
    stem = target.stem if target.suffix in (".json", *PLOTS) else target.name
    return target.with_name(f"{stem}-vs-{Path(other.name).name}{suffix}")


def _write(calibration: Calibration, evidence: Evidence | None, other: Calibration | None, target: Path) -> None:
    """All output files, or none: with `evidence` the datasheet, with `other` the comparison."""
    from imctrain.files import replacing

    with ExitStack() as files:
        text = calibration.model_dump_json(indent=1) + "\n"
        files.enter_context(replacing(target)).write_text(text, encoding="utf-8")
        if evidence is not None:
            from imctrain.calibration.datasheet.page import draw_datasheet
            from imctrain.report.style import drawing, new_figure

            with drawing():
                figure = draw_datasheet(calibration, evidence, new_figure)
                for suffix in PLOTS:
                    picture = files.enter_context(replacing(target.with_suffix(suffix)))
                    figure.savefig(picture, format=suffix[1:], metadata=_made_by(suffix))
        if other is not None:
            _plot_comparison(calibration, other, target, files)


def _plot_comparison(a: Calibration, b: Calibration, target: Path, files: ExitStack) -> None:
    from imctrain.calibration.compare.page import draw_comparison
    from imctrain.files import replacing
    from imctrain.report.style import drawing, subplots

    with drawing():
        figure = draw_comparison(a, b, subplots)
        for suffix in PLOTS:
            picture = files.enter_context(replacing(_comparison_path(target, b, suffix)))
            figure.savefig(picture, format=suffix[1:], metadata=_made_by(suffix))


def _compare_files(file: Path, compare: str | None, out: Path | None, plot: bool, force: bool) -> None:
    from imctrain.calibration import load_calibration
    from imctrain.cli.calibration_tables import print_comparison

    if compare is None:
        raise UserError(f"{file} is a calibration: compare it with --compare OTHER.json, or validate it with --check")
    if plot:
        raise UserError("--plot draws the datasheet of measurements: give their file, not a calibration")
    a, b = load_calibration(str(file)), load_calibration(compare)
    target = out or Path(file.name)
    _refuse_pictures([_comparison_path(target, b, suffix) for suffix in PLOTS], force)
    with ExitStack() as files:
        _plot_comparison(a, b, target, files)
    print_comparison(a, b)
    typer.echo(f"plotted to {', '.join(str(_comparison_path(target, b, suffix)) for suffix in PLOTS)}")


def _check(names: list[str]) -> None:
    """Validate each; the first that is wrong ends it."""
    from imctrain.calibration import load_calibration

    for name in names:
        calibration = load_calibration(name)
        sigma = calibration.noise.sigma_lsb.value
        typer.echo(
            f"{name}: valid, schema {calibration.schema_version}, {calibration.provenance}, noise {sigma:g} LSB, "
            f"{len(calibration.columns)} columns listed"
        )

"""The command line. Importing it imports neither jax nor any other heavy library: commands do, when they run."""

from __future__ import annotations

import sys
import traceback
import warnings
from typing import Annotated, Any, NoReturn, TextIO

import typer

import imctrain
from imctrain.cli import chip as chip_commands
from imctrain.cli import data as data_commands
from imctrain.cli import sweep as sweep_commands
from imctrain.cli.app import Commands
from imctrain.cli.bench import bench
from imctrain.cli.calibrate import calibrate
from imctrain.cli.claims import claims
from imctrain.cli.cost import cost
from imctrain.cli.evaluate import evaluate
from imctrain.cli.export import export
from imctrain.cli.inspect import inspect
from imctrain.cli.mapping_snr import mapping_snr
from imctrain.cli.new import new
from imctrain.cli.pareto import pareto
from imctrain.cli.plot import plot
from imctrain.cli.record import record
from imctrain.cli.report import report
from imctrain.cli.results import results
from imctrain.cli.run import run
from imctrain.cli.schema import schema
from imctrain.errors import DamageWarning, UserError
from imctrain.files import told, what_to_do
from imctrain.garbage import collect_less_often
from imctrain.output import guard_output, to_nowhere
from imctrain.report.style import look

app = Commands(
    name="imctrain",
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"imctrain {imctrain.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    show_traceback: Annotated[
        bool, typer.Option("--traceback", help="Show the traceback of an internal error, or of your own code.")
    ] = False,
    style: Annotated[
        str | None,
        typer.Option(
            "--style", metavar="FILE", help="A matplotlib style, or its name, for all figures.", show_default=False
        ),
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(
            "--width", metavar="W", help="Of all figures: column, page, or a length (89mm).", show_default=False
        ),
    ] = None,
) -> None:
    """Train neural networks in JAX on a simulated in-memory-computing array.

    Every matmul of training runs through radix-4 encoding, bit planes, an
    analog array with noise, and an ADC, as a calibration file describes them.

    Example: `imctrain run --config quickstart`

    Figures for a paper: `imctrain --style paper.mplstyle --width column sweep noise ...`
    """
    look(style, width)


app.command()(run)
app.command()(new)
app.command()(evaluate)
app.command()(export)
app.command()(report)
app.command()(results)
app.command()(plot)
app.command()(claims)
app.command()(pareto)
app.command()(inspect)
app.command()(cost)
app.command()(schema)
app.command()(bench)
app.command()(calibrate)
app.command()(record)
app.command()(mapping_snr)
app.add_typer(chip_commands.app, name="chip")
app.add_typer(data_commands.app, name="data")
app.add_typer(sweep_commands.app, name="sweep")


def main() -> None:
    """Entry point: one line on stderr for whatever went wrong, and an exit code that says what.

    0 done, 1 internal error or a fault of the disk, 2 bad input, a path that cannot be used or a full disk, 3 diverged,
    128 + the signal where interrupted.
    """
    collect_less_often()
    guard_output()
    warnings.showwarning = _warn
    try:
        code = app(standalone_mode=False, prog_name="imctrain") or 0
    except UserError as error:
        if "--traceback" in sys.argv and error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        _fail(str(error), 2)
    except BrokenPipeError:
        # The reader of a pipe has gone (`| head`): nothing is left to say, not even at exit.
        for stream in (sys.stdout, sys.stderr):
            to_nowhere(stream)
        sys.exit(1)
    except OSError as error:
        what = what_to_do(error)
        _fail(told(error) + (f"{what}, and give the command again" if what else ""), 2 if what else 1)
    except Exception as error:
        # Typer brings its own copy of click, or uses click's, by version: its errors are known by what they can do.
        if hasattr(error, "format_message"):
            _usage(error)
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            remedy = "lower data.batch_size, data.eval_batch_size, model.width or imc.memory_mib"
            _fail(f"out of memory: {remedy} ({' '.join(str(error).split())[:200]})", 1)
        if "--traceback" in sys.argv:
            traceback.print_exc()
            sys.exit(1)
        hint = "run again with `imctrain --traceback ...` to see where"
        _fail(f"internal error: {type(error).__name__}: {' '.join(str(error).split())} ({hint})", 1)
    # Typer turns Ctrl-C into this code; commands that have something to say about it leave with SystemExit.
    if code == 130:
        _fail("interrupted", 130)
    sys.exit(code)


_show_warning = warnings.showwarning


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """What is left out is told in a line, as errors are; anything else as Python does."""
    if issubclass(category, DamageWarning):
        print(f"imctrain: note: {message}", file=sys.stderr)
    else:
        _show_warning(message, category, filename, lineno, file, line)


def _usage(error: Any) -> NoReturn:
    """A mistake on the command line: one line, with the command whose help to read."""
    command = error.ctx.command_path if getattr(error, "ctx", None) is not None else "imctrain"
    if type(error).__name__ == "NoArgsIsHelpError":
        # Its message is the help; rich has printed it already where it is empty.
        print(error.format_message(), end="")
        sys.exit(2)
    message = " ".join(error.format_message().split()).rstrip(".")
    _fail(f"{message} (see `{command} --help`)", 2)


def _fail(message: str, code: int) -> NoReturn:
    print(f"imctrain: {message}", file=sys.stderr)
    sys.exit(code)

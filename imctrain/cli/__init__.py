"""The command line. Importing it imports neither jax nor any other heavy library: commands do, when they run."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

import imctrain
from imctrain.cli import data as data_commands
from imctrain.cli.inspect import inspect
from imctrain.cli.run import run
from imctrain.cli.schema import schema
from imctrain.errors import UserError

app = typer.Typer(
    name="imctrain",
    no_args_is_help=True,
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
        bool, typer.Option("--traceback", help="Show the traceback of an internal error.")
    ] = False,
) -> None:
    """Train neural networks in JAX on a simulated in-memory-computing array.

    Every matmul of training runs through radix-4 encoding, bit planes, an
    analog array with noise, and an ADC, as a calibration file describes them.

    Example: `imctrain run --config experiments/quickstart.toml`
    """


app.command()(run)
app.command()(inspect)
app.command()(schema)
app.add_typer(data_commands.app, name="data")


def main() -> None:
    """Entry point: one line on stderr and exit code 2 for a user's mistake."""
    try:
        app()
    except UserError as error:
        print(f"imctrain: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("imctrain: interrupted", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        print(f"imctrain: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if "--traceback" in sys.argv:
            traceback.print_exc()
        else:
            hint = "run again with `imctrain --traceback ...` to see where"
            print(f"imctrain: internal error: {type(error).__name__}: {error} ({hint})", file=sys.stderr)
        sys.exit(1)

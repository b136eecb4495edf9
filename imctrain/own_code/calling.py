"""Calls of user code: with what its signature takes, and with its own errors told by file and line."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from imctrain.errors import UserError
from imctrain.own_code.source import Source

LONGEST = 400
"""Characters of an error's text that are shown."""
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)


@contextlib.contextmanager
def told(source: Source | None, what: str) -> Iterator[None]:
    """Errors of user code as a UserError: `what`, the line of the user's own files where it arose, and its text.

    Without a source nothing is changed.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:
        if source is None or isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise
        raise UserError(f"{what}: {in_short(error, source)}") from error


def in_short(error: BaseException, source: Source) -> str:
    """An error in a line: the innermost place in the user's files, and its type and text."""
    text = " ".join(str(error).split())
    message = f"{type(error).__name__}: {text if len(text) <= LONGEST else text[:LONGEST] + ' ...'}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}: {message}"
    own = {str(source.folder / name) for name in source.files}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]
    if not frames:
        return message
    frame = frames[-1]
    line = f" (`{frame.line}`)" if frame.line else ""
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}{line}: {message}"


def call(
    function: Callable[..., Any], source: Source, key: str, given: Mapping[str, Any], arguments: Mapping[str, Any]
) -> Any:
    """`function` with those of `given` that its signature takes, and with all of `arguments`.

    Args:
        key: of the config, for messages; "arguments" are those of its table.
        given: what is there to be asked for. arguments: what the user gave.

    Raises UserError for an argument that it does not take, for one that it needs and nobody gives, and for what goes
    wrong in it.
    """
    table = f"{key.rpartition('.')[0]}.arguments"
    parameters, takes_all = _parameters(function)
    named = list(parameters)
    for name in arguments:
        if name in given:
            raise UserError(f"{table}.{name} is not possible: {name} is given to {source.attribute} by imctrain")
        if name not in parameters and not takes_all:
            own = [other for other in named if other not in given]
            near = difflib.get_close_matches(name, own, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UserError(
                f"{table}.{name} is not possible{hint}: {source.attribute} takes {', '.join(own) or 'no arguments'}"
            )
    passed = {name: value for name, value in given.items() if name in parameters or takes_all}
    passed |= arguments
    missing = [
        name for name, parameter in parameters.items() if parameter.default is parameter.empty and name not in passed
    ]
    if missing:
        raise UserError(
            f"{key} = {source.name!r}: {source.attribute} needs {', '.join(missing)}, which nobody gives: it is called "
            f"with {', '.join(given)}" + (f" and what [{table}] holds" if table == "model.arguments" else "")
        )
    with told(source, f"{key} = {source.name!r}"):
        return function(**passed)


def _parameters(function: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """Those that can be given by name; whether any other name is taken too."""
    # The signature of an nnx class is that of its metaclass.
    of = function.__init__ if inspect.isclass(function) else function
    found = list(inspect.signature(of).parameters.values())
    if inspect.isclass(function):
        found = found[1:]
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in found)
    by_name = (p for p in found if p.kind not in (*_POSITIONAL, inspect.Parameter.VAR_KEYWORD))
    return {parameter.name: parameter for parameter in by_name}, takes_all

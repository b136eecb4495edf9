"""Every command's help on one page, for the documentation."""

from __future__ import annotations

from typing import Any

import typer


def every_help() -> str:
    """Markdown: a heading and the printed help of each command, in the order of `imctrain --help`."""
    from imctrain.cli import app

    root = typer.main.get_command(app)
    parts = ["# Commands\n\nWhat `imctrain COMMAND --help` prints.\n"]
    for path, command in _commands(root, ("imctrain",)):
        parts.append(f"## {' '.join(path)}\n\n```text\n{_help(command, path)}\n```\n")
    return "\n".join(parts)


def _commands(command: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    found = [(path, command)]
    for name, inner in getattr(command, "commands", {}).items():
        if not getattr(inner, "hidden", False):
            found += _commands(inner, (*path, name))
    return found


def _help(command: Any, path: tuple[str, ...]) -> str:
    import contextlib
    import io

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        command.main(args=["--help"], prog_name=" ".join(path), standalone_mode=False)
    lines = [line.rstrip() for line in printed.getvalue().strip("\n").splitlines()]
    return "\n".join(lines)

"""Commands whose help shows what is typed: a flag takes no value, and none is shown for it."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


def _without_values(params: list[Any]) -> list[Any]:
    """Flags without the name of a type behind them (typer writes `<bool>`)."""
    for param in params:
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
    return params


class Command(TyperCommand):
    """A command of `Commands`."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_values(super().get_params(ctx))


class Group(TyperGroup):
    """A group of `Commands`."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_values(super().get_params(ctx))


class Commands(typer.Typer):
    """`typer.Typer` with such commands."""

    def __init__(self, **options: Any):
        defaults: dict[str, Any] = {"cls": Group, "no_args_is_help": True}
        super().__init__(**(defaults | options))

    # Any, as the parent's signature has a dozen options.
    def command(self, name: str | None = None, **options: Any) -> Any:  # type: ignore[override]
        return super().command(name, **({"cls": Command} | options))

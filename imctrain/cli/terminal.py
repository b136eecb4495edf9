"""Where lines go: a person's terminal wraps between words, a pipe keeps lines whole for programs."""

from __future__ import annotations

from typing import Any

from rich.console import Console


class Terminal(Console):
    """A console that breaks no word of a line which is longer than the terminal."""

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        super().print(*objects, soft_wrap=False if self.is_terminal else soft_wrap, **options)

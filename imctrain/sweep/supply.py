"""What a pool trains, one trial after another: a list, or what a search asks for as results come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Supply(Protocol):
    """Hands trials to a pool. A pool calls it from one thread."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to take, now or later."""
        ...

    def take(self) -> str | None:
        """Key of the next trial to train; None where there is none yet."""
        ...

    def put_back(self, key: str) -> None:
        """A trial that was taken is to be trained after all, before any other."""
        ...

    def ended(self, key: str) -> None:
        """A trial that was taken is no longer trained: its folder says how it ended."""
        ...


class Planned:
    """Trials that are known from the start."""

    def __init__(self, keys: Sequence[str]):
        self._waiting = list(keys)

    @property
    def over(self) -> bool:
        return not self._waiting

    def take(self) -> str | None:
        return self._waiting.pop(0) if self._waiting else None

    def put_back(self, key: str) -> None:
        self._waiting.insert(0, key)

    def ended(self, key: str) -> None:
        pass

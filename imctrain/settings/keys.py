"""The names of settings: which there are, and which was meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def unknown_key(keys: tuple[str, ...], known: Sequence[str], prefix: str = "") -> str:
    """What to say of a key that does not exist: the nearest, and all that the same table may hold.

    Args:
        keys: of the tables on the way, and the last one. known: dotted keys that exist. prefix: of all of them.
    """
    # Positions in lists are no part of a key's name.
    *table, last = (key for key in keys if not key.isdigit())
    inside = "".join(f"{key}." for key in table)
    beside = sorted({key.removeprefix(inside).partition(".")[0] for key in known if key.startswith(inside)})
    candidates = dict.fromkeys([*(inside + key for key in beside), *known])
    typed = inside + last
    # A key in a wrong table is as common as a misspelt one: the last part alone counts too.
    nearest = max(candidates, key=lambda key: max(_alike(typed, key), _alike(last, key.rpartition(".")[2]) - 0.05))
    where = f"[{'.'.join((prefix + '.'.join(table)).strip('.').split('.'))}]" if prefix or table else "the top level"
    return f"the nearest is {prefix}{nearest}; allowed in {where}: {', '.join(beside)}"


def _alike(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()

"""Names of sites: where a matmul stands in the program, from the scopes that its model opened (`jax.named_scope`)."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Sequence


def scope_path(scopes: Iterable[str]) -> str:
    """ "stage1/block0/conv1" from nested scopes. An einsum's own scope (its subscripts) is not part of a name."""
    return "/".join(scope for scope in scopes if scope and "->" not in scope)


def unique_names(sites: Sequence[tuple[str, str]]) -> list[str]:
    """One name for each (scope path, operation) in program order.

    A site is called by its scope. The operation is appended where sites of different operations share a scope, and is
    the whole name where there is no scope. Further sites of the same name are numbered: "attn", "attn#2", "attn#3".
    """
    operations = defaultdict(set)
    for path, operation in sites:
        operations[path].add(operation)
    names: list[str] = []
    taken: set[str] = set()
    for path, operation in sites:
        parts = [path] if path else []
        if not path or len(operations[path]) > 1:
            parts.append(operation)
        base = name = "/".join(parts)
        number = 1
        while name in taken:
            number += 1
            name = f"{base}#{number}"
        taken.add(name)
        names.append(name)
    return names


def nearest(wanted: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most like the wanted one, best first; the first few where none is alike."""
    known = list(known)
    return difflib.get_close_matches(wanted, known, n=count, cutoff=0.3) or known[:count]

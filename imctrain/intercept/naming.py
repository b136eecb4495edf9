"""Names of sites: where a matmul stands in a model.

    its scope    where the model opened one (`jax.named_scope`), as the networks of this project do
    its weight   the path of the parameter that it multiplies with: "layers/0/attention/query"
    its module   where it multiplies activations: the part of the model that they come from, "layers/0/attention/dot"
    its number   where nothing of that is known: "dot#7", counted in program order

Before sites were named after parameters, all without a scope had numbers. Those former names stay valid: rules match
them, and states that were kept under them are found.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")

BACKWARD_SCOPE = "bwd"
"""Scope that the matmuls of a custom backward rule get in their names."""

CLASS_SCOPE = "eqx."
"""What a scope begins with that names a layer's class ("eqx.nn.Linear") and not its place."""


class Names(NamedTuple):
    """What a site is called, and what it was called before it was named after a parameter (often the same)."""

    now: str
    former: str


class Whereabouts(NamedTuple):
    """What is known of where a matmul stands; "" for what is not.

    Attributes:
        scope: path of its named scopes. operation: what it is called by itself, such as "dot".
        weight, module: paths, as in `operations.Operation`.
    """

    scope: str
    operation: str
    weight: str = ""
    module: str = ""


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
        name = _unused("/".join(parts), taken)
        taken.add(name)
        names.append(name)
    return names


def site_names(sites: Sequence[Whereabouts]) -> list[Names]:
    """Names of sites in program order. A parameter that is used again is numbered: "head", "head#2".

    A name is never the former name of another site, so that the two cannot be mistaken for each other.
    """
    former = unique_names([(site.scope, site.operation) for site in sites])
    taken, names = set(former), []
    for site, old in zip(sites, former, strict=True):
        scope = _places(site.scope)
        base = _model_path(site._replace(scope=scope)) if scope in ("", BACKWARD_SCOPE) else ""
        name = _unused(base, taken) if base else old
        taken.add(name)
        names.append(Names(name, old))
    return names


def _places(scope: str) -> str:
    """A scope path without the names of classes in it, which equinox opens scopes for: of all layers of a kind."""
    return "/".join(part for part in scope.split("/") if not part.startswith(CLASS_SCOPE))


def _model_path(site: Whereabouts) -> str:
    """A name of its weight or module, "" where neither is known."""
    if site.weight:
        return "/".join(part for part in (site.weight, site.scope) if part)
    if site.module:
        return "/".join(part for part in (site.module, site.scope, site.operation) if part)
    return ""


def _unused(base: str, taken: set[str]) -> str:
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}#{number}"
    return name


def under_present_names(values: Mapping[str, T], former: Mapping[str, str]) -> dict[str, T]:
    """Values by site, those under a former name moved to the name of today.

    Args:
        former: {name: former name} of the sites.
    """
    moved = {old: name for name, old in former.items() if old != name and name not in values}
    return {moved.get(name, name): value for name, value in values.items()}


def nearest(wanted: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most like the wanted one, best first; the first few where none is alike."""
    known = list(known)
    return difflib.get_close_matches(wanted, known, n=count, cutoff=0.3) or known[:count]

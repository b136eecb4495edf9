"""Laws: figures that follow the design, so that bits, rows, supply and noise in a sweep change what a step costs.

A law is a file of this folder; its name in a technology file is that of the file.
"""

from __future__ import annotations

import functools
import pkgutil

from imctrain.families import member
from imctrain.technology.laws.base import Law as Law


@functools.cache
def law_names() -> tuple[str, ...]:
    """Sorted."""
    return tuple(
        sorted(info.name for info in pkgutil.iter_modules(__path__) if info.name[0] != "_" and info.name != "base")
    )


def law(name: str) -> Law:
    """The law of a name: the file of that name beside this one."""
    found: Law = member(__name__, name)
    return found

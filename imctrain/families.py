"""Families: choices that users make by name, one member a file.

The names that a setting takes are a `Literal` in `imctrain.settings`. The member of a name is what the file of that
name calls MEMBER, in the family's package. So a new member is its file and its name in the setting. A contract test
runs every member of every family through the same checks (tests/test_families.py).
"""

from __future__ import annotations

import functools
import importlib
from typing import Any


@functools.cache
def member(package: str, name: str) -> Any:
    """The member of a family; callers know its protocol.

    Args:
        package: of the family. name: as users type it.
    """
    return importlib.import_module(f"{package}.{name}").MEMBER

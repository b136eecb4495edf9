"""User code, imported: apart from all other modules, so that two files of one name do not meet."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from imctrain.errors import UserError
from imctrain.own_code.calling import told
from imctrain.own_code.source import Source, current_folder_on_path

_LOADED: dict[tuple[str, str], ModuleType] = {}
"""By path and content: a file is run once in a process, and again once it has changed."""


def load(source: Source, key: str) -> Any:
    """What a name stands for. key: of the config, for messages.

    Raises UserError with the line at which the file fails, or where it has no such name.
    """
    with told(source, f"{key} = {source.name!r}"):
        if source.module is not None:
            with current_folder_on_path():
                module = importlib.import_module(source.module)
        else:
            module = _of_file(source)
    found: Any = module
    for part in source.attribute.split("."):
        if not hasattr(found, part):
            names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            near = difflib.get_close_matches(source.attribute, names, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UserError(f"{key} = {source.name!r}: {source.main} has no {source.attribute!r}{hint}")
        found = getattr(found, part)
    if not callable(found):
        raise UserError(
            f"{key} = {source.name!r}: {source.attribute} is {type(found).__name__}: give a class or a function"
        )
    return found


def _of_file(source: Source) -> ModuleType:
    path = source.folder / source.main
    known = str(path), source.sha256
    if known not in _LOADED:
        name = f"imctrain_own_{source.sha256[:12]}_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Dataclasses and pickles look their module up.
        sys.modules[name] = module
        try:
            with _beside(source):
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        _LOADED[known] = module
    return _LOADED[known]


@contextlib.contextmanager
def _beside(source: Source) -> Iterator[None]:
    """Modules beside the file can be imported, and are forgotten after: another file may have others of their names."""
    tops = {Path(name).parts[0].removesuffix(".py") for name in source.files}
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in tops}
    for name in before:
        del sys.modules[name]
    folder, writes = str(source.folder), sys.dont_write_bytecode
    sys.path.insert(0, folder)
    # Bytecode is known by its second: one that was edited at once would be the old one. Nor is it for us to write.
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(folder)
        for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
            del sys.modules[name]
        sys.modules.update(before)

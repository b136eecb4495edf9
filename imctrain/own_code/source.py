"""Where code that a config names lies, and what it says: its files, with those beside it that they import.

A name is `FILE.py:NAME`, the file relative to the config, or `PACKAGE.MODULE:NAME` of what Python can import. A name
may end in `@HASH`, the first digits of the content's SHA-256: the content must then be that.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from imctrain.errors import UserError
from imctrain.files import replacing
from imctrain.paths import given_path, is_file

PIN = "@"
PIN_DIGITS = 12
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Source:
    """Code that a config names.

    Attributes:
        name: as the config has it. attribute: what is asked for of it.
        folder: that `files` are relative to. main: the file that is named.
        files: content of that file and of the files beside it that it imports; of a package all of its own.
        module: its dotted name, where that is how it is named; None for a file.
    """

    name: str
    attribute: str
    folder: Path
    main: str
    files: Mapping[str, bytes]
    module: str | None = None

    @property
    def sha256(self) -> str:
        """Of the names and the content of all files."""
        digest = hashlib.sha256()
        for name in sorted(self.files):
            content = self.files[name]
            digest.update(f"{name} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()

    @property
    def pinned(self) -> str:
        """The name, with the hash of the content."""
        return f"{self.name.partition(PIN)[0]}{PIN}{self.sha256[:PIN_DIGITS]}"

    def keep(self, folder: Path) -> str | None:
        """Copy the files into `folder`; the name by which they are found there, absolute. None for a module: it is
        imported from where it is installed."""
        if self.module is not None:
            return None
        for name, content in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as temporary:
                temporary.write_bytes(content)
        return f"{(folder / self.main).absolute()}:{self.attribute}"


def is_own(name: str) -> bool:
    """Whether a name is of a user's code, and none of those that are built in."""
    return ":" in name


def parts_of_name(name: str, key: str) -> tuple[str, str, str]:
    """(file or module, attribute, pin) of a name. Raises UserError for one that is none; key: of the config."""
    target, _, rest = name.rpartition(":")
    attribute, _, pin = rest.partition(PIN)
    is_file = target.endswith(".py")
    if not _MODULE.fullmatch(attribute) or not (is_file or _MODULE.fullmatch(target)):
        raise UserError(f"{key} = {name!r} is not possible: give FILE.py:NAME or PACKAGE.MODULE:NAME")
    return target, attribute, pin


def find_source(name: str, relative_to: Path | None, key: str) -> Source | None:
    """The code that a name stands for, read and not run; None for a name without a colon, which is built in.

    Args:
        relative_to: folder of the config. key: of the config, for messages.

    Raises UserError for code that is not there, or is not what the name's hash says.
    """
    if not is_own(name):
        return None
    target, attribute, pin = parts_of_name(name, key)
    if target.endswith(".py"):
        path = _find_file(name, target, relative_to, key)
        found = Source(name, attribute, path.parent, path.name, _with_imports(path))
    else:
        folder, files, main = _find_module(name, target, key)
        found = Source(name, attribute, folder, main, files, target)
    if pin and not found.sha256.startswith(pin):
        raise UserError(
            f"{key} = {name!r}: {target} has changed (its content is now {found.sha256[:PIN_DIGITS]}): put back what "
            "it was, or start anew with what it is"
        )
    return found


def _find_file(name: str, target: str, relative_to: Path | None, key: str) -> Path:
    given = given_path(target)
    candidates = [given] if relative_to is None else [relative_to / given, given]
    for candidate in candidates:
        if is_file(candidate):
            return candidate.absolute()
    raise UserError(f"{key} = {name!r}: there is no file {candidates[0]}: give a path relative to the config")


def _find_module(name: str, target: str, key: str) -> tuple[Path, dict[str, bytes], str]:
    """(folder, content by path below it, the module's own file)."""
    top = target.partition(".")[0]
    with current_folder_on_path():
        spec = importlib.util.find_spec(top)
    if spec is None or (spec.origin is None and not spec.submodule_search_locations):
        raise UserError(
            f"{key} = {name!r}: there is no module {top!r} that can be imported: install it, or give FILE.py:NAME"
        )
    locations = list(spec.submodule_search_locations or ())
    if not locations:
        path = Path(spec.origin or "")
        return path.parent, _contents([path], path.parent), path.name
    package = Path(locations[0])
    stem = package.parent.joinpath(*target.split("."))
    main = next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if is_file(path)), None)
    if main is None:
        raise UserError(f"{key} = {name!r}: there is no module {target!r} in {package}")
    files = _contents(sorted(package.rglob("*.py")), package.parent)
    return package.parent, files, main.relative_to(package.parent).as_posix()


def _contents(paths: list[Path], folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def _with_imports(path: Path) -> dict[str, bytes]:
    """A file, and those below its folder that it imports, directly or not."""
    folder, found, todo = path.parent, {}, [path]
    while todo:
        file = todo.pop()
        name = file.relative_to(folder).as_posix()
        if name in found:
            continue
        try:
            found[name] = file.read_bytes()
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror})") from None
        for module in _imported(found[name]):
            beside = folder / f"{module}.py"
            if is_file(folder / module / "__init__.py"):
                todo += sorted((folder / module).rglob("*.py"))
            elif is_file(beside):
                todo.append(beside)
    return found


def _imported(content: bytes) -> Iterator[str]:
    """First parts of the names that a file imports anywhere; none of a file that is no Python (it is told when it is
    loaded)."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@contextlib.contextmanager
def current_folder_on_path() -> Iterator[None]:
    """As `python -m` has it: modules of the current folder can be imported."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)

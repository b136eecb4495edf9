"""Files that may hold anything: read within bounds, and told in one line where they are not what they should be.

Whatever this project wrote or is given may have been cut, edited, copied as another encoding, or be no file at all.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import select
import stat
import tomllib
from pathlib import Path
from typing import Any

from imctrain.errors import UserError, shown

MIB = 2**20
CONFIG_BYTES = 4 * MIB
"""Of a TOML file: the largest kept one has 5 KB."""
JSON_BYTES = 128 * MIB
"""Of a JSON file, or of lines of JSON."""
DEPTH = 60
"""Tables and lists within each other; what this project writes has fewer than ten."""
PIPE_SECONDS = 10.0
"""How long a pipe or a terminal may say nothing."""
_OTHERS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


class Unreadable(UserError):
    """A file is not there, or is not what it should be."""


def read_bytes(path: Path, limit: int = JSON_BYTES) -> bytes:
    """All of a file, or of a pipe.

    Raises Unreadable naming the file: not there, a folder, more than `limit` bytes, a device, a silent pipe.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise Unreadable(f"{str(path)!r} is no name of a file") from None
    about = os.fstat(number)
    if stat.S_ISDIR(about.st_mode):
        os.close(number)
        raise Unreadable(f"{path} cannot be read (it is a folder)")
    with open(number, "rb", buffering=0) as stream:
        regular = stat.S_ISREG(about.st_mode)
        if regular and about.st_size > limit:
            raise Unreadable(f"{path} has {about.st_size / MIB:.0f} MiB, and {limit / MIB:.0f} MiB is the most here")
        try:
            content = _whole(stream, about.st_size, limit + 1) if regular else _piped(path, number, limit + 1)
        except OSError as error:
            raise Unreadable(f"{path} cannot be read ({error.strerror})") from None
    if len(content) > limit:
        raise Unreadable(f"{path} goes on after {limit / MIB:.0f} MiB, the most that is read here")
    return content


def _whole(stream: io.FileIO, size: int, most: int) -> bytes:
    """size: as the system tells it; a file that is written meanwhile has more, and those of /proc say 0."""
    content = stream.read(size + 1)
    while len(content) < most and (piece := stream.read(most - len(content))):
        content += piece
    return content


def _piped(path: Path, number: int, most: int) -> bytes:
    content = bytearray()
    while len(content) < most:
        ready, _, _ = select.select([number], [], [], PIPE_SECONDS)
        if not ready:
            raise Unreadable(f"{path} is no file, and nothing came from it for {PIPE_SECONDS:.0f} s")
        try:
            piece = os.read(number, min(most - len(content), MIB))
        except BlockingIOError:
            continue
        if not piece:
            break
        content += piece
    return bytes(content)


def read_text(path: Path, limit: int = JSON_BYTES) -> str:
    """Text in UTF-8, with or without a byte-order mark. Raises Unreadable as `read_bytes`, and for another encoding."""
    return decoded(read_bytes(path, limit), path)


def decoded(content: bytes, path: Path) -> str:
    """The text in a file's content. Raises Unreadable, naming `path`."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = next((f"it is {name}, no UTF-8" for mark, name in _OTHERS.items() if content.startswith(mark)), None)
        why = found or f"byte {error.start + 1} is no UTF-8"
        raise Unreadable(f"{path} cannot be read ({why})") from None


def read_json(path: Path, limit: int = JSON_BYTES) -> Any:
    """The value in a JSON file. Raises Unreadable as `read_text`, and for what is no JSON."""
    return parse_json(read_text(path, limit), str(path))


def read_toml(path: Path, limit: int = CONFIG_BYTES) -> dict[str, Any]:
    """The table in a TOML file. Raises Unreadable as `read_text`, and for what is no TOML."""
    return parse_toml(read_text(path, limit), str(path))


def parse_json(text: str, where: str) -> Any:
    """`where` names the text in errors. Raises Unreadable; numbers that are not finite are no JSON."""
    if not text.strip():
        raise Unreadable(f"{where} is no JSON: it is empty")
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{where} is no JSON: {_why(error)}") from None
    if text.count("[") + text.count("{") > DEPTH:
        _check_depth(value, where)
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise Unreadable(f"{where} is no JSON: a text in it has half a character") from None
    return value


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """`where` names the text in errors. Raises Unreadable."""
    try:
        value = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{where}: not valid TOML: {_why(error)}") from None
    if text.count("[") + text.count("{") + text.count(".") > DEPTH:
        _check_depth(value, where)
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"tables or lists are more than {DEPTH} within each other"
    return (
        "an integer in it has thousands of digits" if "integer string conversion" in str(error) else shown(error, 200)
    )


def _check_depth(value: Any, where: str) -> None:
    level, depth = [value] if isinstance(value, dict | list) else [], 0
    while level:
        depth += 1
        if depth > DEPTH:
            raise Unreadable(f"{where}: tables or lists are more than {DEPTH} within each other")
        inner: list[Any] = []
        for item in level:
            children = item.values() if isinstance(item, dict) else item
            inner += [child for child in children if isinstance(child, dict | list)]
        level = inner

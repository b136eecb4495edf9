"""Pages whose commands are run: fences in order, in one folder.

```sh       each line is a command, `imctrain ...`, that must end with 0
```text     lines that the last commands printed; a number stands for any number
```python   is run; with a first line "# NAME.py" it is written to that file
```toml     is written to the file of its first line, "# NAME.toml"
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
NAMED = re.compile(r"# ([\w.-]+\.(?:py|toml))\n")


class Fence(NamedTuple):
    kind: str
    text: str


def fences(page: Path) -> list[Fence]:
    """Those of a page that do or show something, in order."""
    found = [Fence(*match) for match in FENCE.findall(page.read_text(encoding="utf-8"))]
    return [fence for fence in found if fence.kind in ("sh", "text", "python", "toml")]


def commands(fence: Fence) -> list[list[str]]:
    """Arguments of each command of a `sh` fence, without `imctrain`; comments and lines that go on are understood."""
    lines = fence.text.replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in found if words and words[0] == "imctrain"]


def others(fence: Fence) -> list[str]:
    """Lines of a `sh` fence that are no command of this project."""
    lines = fence.text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith(("imctrain ", "#"))]


def missing(shown: str, printed: str) -> list[str]:
    """Lines that a page shows and that were not printed."""
    lines = {_pattern(line) for line in printed.splitlines()}
    return [line for line in shown.splitlines() if line.strip(" .") and _pattern(line) not in lines]


def _pattern(line: str) -> str:
    """Words of a line, any number as one sign, spaces and rules of tables as one."""
    return re.sub(r"[\s\u2500-\u257f]+", " ", NUMBER.sub("0", line)).strip()


def walk(page: Path, folder: Path, run: Callable[[list[str]], str]) -> list[str]:
    """Do what a page says in a folder, which must be the current one. The lines that it shows and nobody printed.

    Args:
        run: a command, given its arguments; what it printed.
    """
    printed, wrong, names = "", [], {"__name__": "page"}
    before = ""
    for kind, text in fences(page):
        named = NAMED.match(text)
        if kind in ("python", "toml") and named:
            (folder / named[1]).write_text(text, encoding="utf-8")
        elif kind == "python":
            exec(compile(text, str(page), "exec"), names)
        elif kind == "sh":
            printed = "" if before != "sh" else printed
            for words in commands(Fence(kind, text)):
                printed += run(words)
        elif kind == "text":
            wrong += missing(text, printed)
        before = kind
    return wrong

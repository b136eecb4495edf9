"""Files that lie in data sets and are none of their images: told by count, and left out."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath

from imctrain.data.reading.names import shown

_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
_TOLD = 10


def junk_name(parts: tuple[str, ...]) -> str | None:
    """What an operating system or a tool left behind, by the name that is told; None for any other file."""
    for part in parts[:-1]:
        if part.startswith("."):
            return "hidden files"
        if part.casefold() in _FOLDERS:
            return part
    last = parts[-1]
    if last.casefold() in _FILES | _FOLDERS or last in (".DS_Store",):
        return last.strip()
    if last.startswith("."):
        return "hidden files"
    return None


class LeftOut:
    """Counts files that are left out."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._example: dict[str, str] = {}

    def add(self, kind: str, path: str) -> None:
        """One file of a kind."""
        self._found[kind] += 1
        self._example.setdefault(kind, path)

    def add_other(self, path: str) -> None:
        """A file that is no image of a format that is read."""
        suffix = PurePosixPath(path).suffix.lower()
        self.add(f"{shown(suffix)} files" if suffix else "files without a suffix", path)

    def told(self) -> str | None:
        """One line; None where nothing was left out."""
        if not self._found:
            return None
        parts = []
        for kind, count in self._found.most_common(_TOLD):
            example = self._example[kind]
            named = "" if example.rsplit("/", 1)[-1] == kind else f" ({shown(example)})"
            parts.append(f"{count} {shown(kind)}{named}")
        more = sum(self._found.values()) - sum(count for _, count in self._found.most_common(_TOLD))
        return f"left out: {', '.join(parts)}" + (f", {more} others" if more else "")

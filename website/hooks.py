"""What the site adds to docs/: pages that stand elsewhere, files that pages link to, and the commands' own help.

mkdocs calls these (`hooks` in mkdocs.yml). In the repository links stay as they are. Here they are led to copies.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
ELSEWHERE = {
    "README.md": "index.md",
    "calibration/README.md": "calibration-files.md",
    "examples/README.md": "examples.md",
    "experiments/README.md": "experiments.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
    "benchmarks/CALIBRATION.md": "benchmarks-calibration.md",
}
"""Pages outside of docs/, and what they are called on the site."""
COPIED = "files"
"""Folder of the site that other files of the repository are copied to, where a page links to them."""
COMMANDS = "reference/commands.md"
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages need that is not in docs/."""
    for source, name in ELSEWHERE.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, COMMANDS, content=commands()))
    sources = {file.src_uri: place_of(file.src_uri) for file in files.documentation_pages()}
    for uri, place in sources.items():
        file = files.get_file_from_path(uri)
        assert file is not None
        for _, link, _ in LINK.findall(file.content_string):
            target = _target(place, link)
            if target is None or target.is_relative_to(DOCS) or _page(target) is not None:
                continue
            copied = f"{COPIED}/{target.relative_to(ROOT).as_posix()}"
            if target.is_file() and files.get_file_from_path(copied) is None:
                files.append(File.generated(config, copied, abs_src_path=str(target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links lead to where things are on the site; a link to a folder becomes its name."""
    place = place_of(page.file.src_uri)
    here = PurePosixPath(page.file.src_uri).parent

    def led(found: re.Match[str]) -> str:
        target = _target(place, found[2])
        if target is None:
            return found[0]
        page_name = _page(target)
        if page_name is not None:
            where = page_name
        elif target.is_relative_to(DOCS):
            where = target.relative_to(DOCS).as_posix()
        else:
            where = f"{COPIED}/{target.relative_to(ROOT).as_posix()}"
        if target.is_dir():
            # A browser has no view of a folder: the words stay, without a link.
            return f"](#{found[3][1:]}" if found[3].startswith("#") else "](#)"
        return f"{found[1]}{os.path.relpath(where, here)}{found[3]}"

    return LINK.sub(led, markdown)


def place_of(uri: str) -> Path:
    """The folder of the repository that a page's links are relative to."""
    source = next((source for source, name in ELSEWHERE.items() if name == uri), None)
    return (ROOT / source).parent if source is not None else (DOCS / uri).parent


def _target(place: Path, link: str) -> Path | None:
    """The file or folder of the repository that a link leads to."""
    target = (place / link).resolve()
    return target if target.exists() and target.is_relative_to(ROOT) else None


def _page(target: Path) -> str | None:
    return ELSEWHERE.get(target.relative_to(ROOT).as_posix())


def commands() -> str:
    """Help of every command, as it prints it."""
    script = "from commands import every_help\nprint(every_help(), end='')\n"
    environment = os.environ | {
        "COLUMNS": "96",
        "NO_COLOR": "1",
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "website"))),
        "TERM": "dumb",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    return done.stdout

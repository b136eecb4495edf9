"""The code that a config names, model and optimizer: read, kept in a run's folder, and known by its content."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Mapping
from pathlib import Path

from imctrain.errors import UserError
from imctrain.files import make_scratch
from imctrain.own_code import Source, find_source, is_own
from imctrain.own_code.source import PIN, PIN_DIGITS, parts_of_name
from imctrain.records.layout import RunFiles
from imctrain.settings import Config

KEYS = {"model": "model.name", "optimizer": "training.optimizer"}
"""Config keys that may name code, by what it is."""
IDENTITIES = {"model": "model.code", "optimizer": "training.optimizer.code"}
"""What its content is called where two runs are compared."""


def name_of(config: Config, role: str) -> str:
    """What the config calls it; role: of `KEYS`."""
    return config.model.name if role == "model" else config.training.optimizer


def with_names(config: Config, names: Mapping[str, str]) -> Config:
    """The config with other names, by role."""
    if "model" in names:
        config = config.model_copy(update={"model": config.model.model_copy(update={"name": names["model"]})})
    if "optimizer" in names:
        training = config.training.model_copy(update={"optimizer": names["optimizer"]})
        config = config.model_copy(update={"training": training})
    return config


def sources_of(config: Config, config_dir: Path | None = None) -> dict[str, Source]:
    """The code that a config names, by role; nothing of what is built in. Raises UserError for code that is not there.

    Args:
        config_dir: what files are relative to.
    """
    found = {role: find_source(name_of(config, role), config_dir, key) for role, key in KEYS.items()}
    return {role: source for role, source in found.items() if source is not None}


def hashes(sources: Mapping[str, Source]) -> dict[str, str]:
    """SHA-256 of their content, by the key of `IDENTITIES`."""
    return {IDENTITIES[role]: source.sha256 for role, source in sources.items()}


def keep_code(sources: Mapping[str, Source], run: RunFiles) -> None:
    """Copy files into a run's folder: the originals may move on, or away. Modules stay where they are installed."""
    for role, source in sources.items():
        source.keep(run.code(role))


def with_own_code(config: Config, run: RunFiles) -> Config:
    """A run's config that names the copies in its folder, where there are some."""
    names = {}
    for role, key in KEYS.items():
        name = name_of(config, role)
        if is_own(name):
            target, attribute, _ = parts_of_name(name, key)
            kept = run.code(role) / Path(target).name
            if kept.is_file():
                names[role] = f"{kept.absolute()}:{attribute}"
    return with_names(config, names)


def model_name_of_run(config: Config, run: RunFiles, sha256: str | None) -> str:
    """The name by which a kept run's network is found: of the copy in its folder, with the hash that it had."""
    name = with_own_code(config, run).model.name
    if not is_own(name) or sha256 is None:
        return name
    return f"{name.partition(PIN)[0]}{PIN}{sha256[:PIN_DIGITS]}"


def located(config: Config, config_dir: Path) -> str | None:
    """The name of a config's network from anywhere; None for one that is built in."""
    source = sources_of(config, config_dir).get("model")
    if source is None or source.module is not None:
        return None
    return f"{source.folder / source.main}:{source.attribute}"


def text_of(source: Source) -> dict[str, str] | None:
    """Its files as text; None for a module. Raises UserError for one in another encoding than UTF-8."""
    if source.module is not None:
        return None
    try:
        return {name: content.decode() for name, content in source.files.items()}
    except UnicodeDecodeError:
        raise UserError(f"{source.main} or a file that it imports is no UTF-8 text: save it as UTF-8") from None


def unfolded(files: Mapping[str, str], name: str, sha256: str | None) -> str:
    """The name of code that is held as text: its files are written to a folder of this process."""
    target, attribute, _ = parts_of_name(name, KEYS["model"])
    folder = make_scratch()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for path, text in files.items():
        file = (folder / path).resolve()
        if not file.is_relative_to(folder.resolve()):
            raise UserError(f"{path} lies outside of the folder of its code: the file is no export of imctrain")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    pin = "" if sha256 is None else f"{PIN}{sha256[:PIN_DIGITS]}"
    return f"{folder / Path(target).name}:{attribute}{pin}"


def kept_in(config: Config, config_dir: Path, folder: Path, root: Path) -> Config:
    """A config whose code lies in `folder`, under names that hold its hash: files are copied there, and named as seen
    from `root`; modules have the hash in their name."""
    names = {}
    for role, source in sources_of(config, config_dir).items():
        if source.module is not None:
            names[role] = source.pinned
            continue
        kept = folder / f"{Path(source.main).stem}-{source.sha256[:8]}"
        source.keep(kept)
        names[role] = f"{(kept / source.main).relative_to(root).as_posix()}:{source.attribute}"
    return with_names(config, names)


def by_content(config: Config, config_dir: Path | None) -> Config:
    """A config in which code is named by its content, wherever it lies."""
    return with_names(
        config,
        {role: f"{source.sha256}:{source.attribute}" for role, source in sources_of(config, config_dir).items()},
    )

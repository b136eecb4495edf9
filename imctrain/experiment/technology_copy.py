"""A run and a sweep keep their own copy of a technology file: the file may move on, or away."""

from __future__ import annotations

from pathlib import Path

from imctrain.experiment.own_sources import with_own_code
from imctrain.files import write_text
from imctrain.records.layout import RunFiles
from imctrain.settings import Config
from imctrain.technology import load_technology
from imctrain.technology.files import shipped_names


def keep_technology(config: Config, config_dir: Path | None, run: RunFiles) -> None:
    """Copy the technology of a config that names a file into a run's folder, with what its base gives."""
    if names_a_file(config):
        write_text(run.technology, technology_text(config, config_dir))


def names_a_file(config: Config) -> bool:
    """Whether the technology is a file, and no shipped one's name."""
    return config.cost.technology not in shipped_names()


def technology_text(config: Config, config_dir: Path | None) -> str:
    """The technology that a config names, complete, as its file has it."""
    technology = load_technology(config.cost.technology, config_dir).model_copy(update={"base": None})
    return technology.model_dump_json(indent=1, by_alias=True, exclude_none=True) + "\n"


def with_own_files(config: Config, run: RunFiles) -> Config:
    """A run's config with the copies that its folder holds, of calibration, technology and own code."""
    if run.calibration.is_file():
        config = config.replace(imc=config.imc.replace(calibration=str(run.calibration.absolute())))
    if run.technology.is_file():
        config = config.replace(cost=config.cost.replace(technology=str(run.technology.absolute())))
    return with_own_code(config, run)

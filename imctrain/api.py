"""Runs from Python: train one, open one that is there, and all results below a folder as one table.

import imctrain

config = imctrain.load_config("experiments/quickstart.toml", ["training.epochs=3"])
run = imctrain.train(config)                   # as `imctrain run` does; runs/NAME-TIMESTAMP, or out=
run.result.test_accuracy, run.metrics          # result.json, and metrics.jsonl as a polars frame
run = imctrain.load_run("runs/quickstart-20260101-120000")
run.module(images)                             # the trained network, an nnx module; imctrain.on_imc takes it
imctrain.load_export("digits.npz")             # the same of a file that `imctrain export` wrote
imctrain.load_results("runs")                  # a row per run, of all runs and sweeps below the folder
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from imctrain.errors import UserError
from imctrain.files import JsonValue
from imctrain.records.layout import RunFiles
from imctrain.records.metrics import read_rows
from imctrain.records.plans import Label
from imctrain.records.result import Result
from imctrain.settings import Config, Hardware
from imctrain.settings import load_config as _load_config
from imctrain.settings.shipped import find_config

if TYPE_CHECKING:
    import numpy as np
    import polars
    from flax import nnx

    from imctrain.experiment.trained import Checkpoint, Trained
    from imctrain.imc.site.state import SiteState
    from imctrain.records.manifest import Manifest
    from imctrain.tracking import Callback


class _Network:
    """What a run and an exported network have in common. `_trained`: of a checkpoint, by name."""

    def _trained(self, checkpoint: Checkpoint) -> Trained:
        raise NotImplementedError

    @cached_property
    def module(self) -> nnx.Module:
        """The network with its trained parameters and batch statistics, set to evaluate: `module(images)` are logits
        [b, classes].

        Images are float32 [b, h, w, c] as training has them: pixels from 0 to 1 less the data set's mean, over its
        standard deviation, for each channel. `on_imc(lambda module, images: module(images), hardware)` puts it on the
        array. Of a run it is that of the best checkpoint.

        Raises UserError where there is no checkpoint, or a damaged one.
        """
        return self._trained("best").module()

    def site_states(
        self, fresh: Mapping[str, SiteState], former_names: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, SiteState]:
        """The state of an `on_imc` function with the ranges and clips that were learned in training.

        Args:
            fresh: of `init`. Sites of another name or structure keep it.
            former_names: of the function, for a network that was trained when its sites had these.
        """
        return self._trained("best").site_states(fresh, former_names)[0]


@dataclass(frozen=True)
class Run(_Network):
    """A run's folder.

    Attributes:
        folder: where it is. config: as resolved when it was trained.
        result: of result.json; None where the run is not finished.
    """

    folder: Path
    config: Config
    result: Result | None = field(repr=False)

    @cached_property
    def metrics(self) -> polars.DataFrame:
        """metrics.jsonl, a row per line: training lines have loss, accuracy and images_per_second, the others
        test_accuracy; values that a line does not have are null. Raises UserError where there is none."""
        import polars

        path = RunFiles(self.folder).metrics
        if not path.is_file():
            raise UserError(f"{self.folder} has no metrics yet (no metrics.jsonl): train it first")
        return polars.DataFrame(read_rows(path), infer_schema_length=None)

    @cached_property
    def hardware(self) -> Hardware | None:
        """What its sites were simulated on, rules apart; None for a float run."""
        if self.config.imc.path == "float":
            return None
        from imctrain.experiment.from_config import build_hardware, calibration_of

        saved = RunFiles(self.folder).calibration
        imc = self.config.imc
        if saved.is_file():
            imc = imc.replace(calibration=str(saved.absolute()))
        return build_hardware(self.config.imc, calibration_of(self.config.replace(imc=imc), self.folder))

    def module_of(self, checkpoint: Checkpoint) -> nnx.Module:
        """`module` of the "best" or the "last" checkpoint."""
        return self._trained(checkpoint).module()

    def _trained(self, checkpoint: Checkpoint) -> Trained:
        from imctrain.experiment.trained import trained_by_run

        return trained_by_run(self.folder, checkpoint)


@dataclass(frozen=True)
class Export(_Network):
    """A file of `imctrain export`.

    Attributes:
        path: where it is. manifest: config, accuracy, hashes ...
        arrays: by path: params/..., rest/... (batch statistics), sites/... (what sites carry), array/SITE/codes, scale,
            clip, ranges ... (see `records.manifest.SiteManifest`).
    """

    path: Path
    manifest: Manifest
    arrays: Mapping[str, np.ndarray] = field(repr=False)
    _network: Trained = field(repr=False)

    @property
    def config(self) -> Config:
        """Of the training."""
        return self._network.known_config

    @cached_property
    def hardware(self) -> Hardware | None:
        """What its sites were simulated on, rules apart; None for a float training."""
        from imctrain.experiment.from_config import build_hardware

        calibration = self._network.calibration
        return None if calibration is None else build_hardware(self.config.imc, calibration)

    def _trained(self, checkpoint: Checkpoint) -> Trained:
        return self._network


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """An experiment's TOML, validated.

    Args:
        path: of the file, or the name of a shipped experiment ("quickstart").
        overrides: as `--set` takes them, such as "training.epochs=5".

    Raises UserError naming the file, the key, what was found and what is allowed.
    """
    return _load_config(find_config(Path(path)), overrides)


def train(
    config: Config | str | Path,
    *,
    out: str | Path | None = None,
    config_dir: str | Path = ".",
    init: str | Path | None = None,
    quiet: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train an experiment into a new folder, as `imctrain run` does.

    Args:
        config: of `load_config`, or a TOML file, or the name of a shipped one.
        out: the run's folder; runs/NAME-TIMESTAMP by default.
        config_dir: what paths of a calibration and of own code are relative to; of a TOML file its own folder.
        init: a run's folder or an exported file, whose network it starts from.
        quiet: print nothing.
        callbacks: told how it goes (see `Callback`), beside those that the config names.

    Raises UserError for bad input, `training.divergence.Diverged` and `training.signals.Interrupted` as the command
    ends on them. Compiled steps are kept where the command keeps them.
    """
    from rich.console import Console

    from imctrain.experiment.jax_setup import prepare_jax
    from imctrain.experiment.run import Place, start

    settings = config if isinstance(config, Config) else load_config(config)
    if not isinstance(config, Config):
        config_dir = find_config(Path(config)).parent
    prepare_jax()
    place = Place()
    where, network = (None if path is None else Path(path) for path in (out, init))
    start(settings, where, Path(config_dir), Console(quiet=quiet), place, network, callbacks)
    if place.folder is None:
        raise RuntimeError("a training that ended left no folder")
    return load_run(place.folder)


def load_run(folder: str | Path) -> Run:
    """A run that is there, finished or not. Raises UserError for a folder without a run, or a damaged one."""
    from imctrain.settings import load_kept_config

    folder = Path(folder)
    files = RunFiles(folder)
    if not files.is_run:
        raise UserError(f"{folder} holds no run (no config.toml): give the folder that `imctrain run` made")
    result = Result.read(files.result) if files.is_finished else None
    return Run(folder, load_kept_config(files.config), result)


def load_export(path: str | Path) -> Export:
    """A network that `imctrain export` wrote. Raises UserError for another file, or a damaged one."""
    from imctrain.experiment.network_file import read_network

    found = read_network(Path(path))
    if found.manifest is None:
        raise UserError(f"{path} has no manifest: give a file of `imctrain export`")
    return Export(found.path, found.manifest, found.arrays, found.trained())


def load_results(folder: str | Path) -> polars.DataFrame:
    """Every run below a folder, a row each, sorted by sweep, variant and seed.

    Columns: folder, sweep, reference ("float", "digital" or null), variant, seed, error; a column per axis of a sweep,
    named by its key; and every number, text and flag of result.json. A trial that is in several sweeps has a row in
    each. Copies of a run are left out. Raises UserError where there is no run.
    """
    import polars

    from imctrain.records.copies import copies_of
    from imctrain.records.runs import gather

    records = gather(Path(folder))
    copies = copies_of(records)
    rows = []
    for record in records:
        if record.folder in copies:
            continue
        result = {} if record.result is None else record.result.plain()
        plain = {key: value for key, value in result.items() if not isinstance(value, dict | list) and key != "seed"}
        labels: dict[str, Label | None] = {**record.labels} or {"": None}
        for sweep, label in labels.items():
            row: dict[str, JsonValue] = {
                "folder": str(record.folder),
                "sweep": sweep or None,
                "reference": label and label["reference"],
                "variant": label and label["variant"],
                "seed": label["seed"] if label is not None else record.setting("seed"),
                "error": record.error or None,
            }
            axes = label["axes"] if label is not None else {}
            row |= {key: value if not isinstance(value, list) else str(value) for key, value in axes.items()}
            rows.append(row | plain)
    frame = polars.DataFrame(rows, infer_schema_length=None, strict=False)
    return frame.sort("sweep", "variant", "seed", "folder", nulls_last=True)

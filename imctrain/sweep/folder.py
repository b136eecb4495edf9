"""The folder of a sweep: what is planned there, and where each of its trials stands, read from files alone.

Everything is named by hashes of its content, so two sweep folders merge by copying one over the other. Its layout is
`records.layout`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from imctrain.calibration import load_calibration
from imctrain.errors import UserError
from imctrain.experiment.own_sources import kept_in
from imctrain.experiment.technology_copy import names_a_file, technology_text
from imctrain.files import write_text
from imctrain.frozen_defaults import VERSION, apart
from imctrain.records.layout import RunFiles, SweepFiles
from imctrain.records.plans import Label, Marks, SweepView, read_plan, same_trial, write_plan
from imctrain.records.result import Failure, Pruned
from imctrain.settings import Config, kept_config, load_kept_config
from imctrain.sweep.status import TrialStatus as TrialStatus
from imctrain.sweep.status import status_of
from imctrain.sweep.trial import Trial, same_training, trial_key

DIVERGED = 3


class SweepFolder:
    """A sweep's folder."""

    def __init__(self, path: Path):
        self.path = path
        self.files = SweepFiles(path)
        self.view = SweepView(self.files)

    def trial(self, key: str) -> RunFiles:
        """The run folder of a trial: in the sweep's folder, or, for reading only, where a packed one can be read."""
        return self.view.trial(key)

    def add(self, name: str, trials: list[Trial], config_dir: Path, marks: Sequence[Marks] | None = None) -> list[str]:
        """Write down what is to be trained; returns the keys. Labels of other sweeps in this folder stay.

        `marks` go into the trials' labels.

        A variant, level and seed of a sweep is one trial: where the sweep has come to mean another config by it, the
        trial that was called so before keeps its result and loses the name; without either it is no longer planned.

        Raises UserError for a bad calibration, or a trial that was trained under other defaults.
        """
        adopted = [(self._adopt(trial.config, config_dir), trial) for trial in trials]
        for config, trial in adopted:
            self._check(trial_key(config), config, trial.title)
        keys = []
        try:
            for folder in (self.files.plans, self.files.trials):
                folder.mkdir(parents=True, exist_ok=True)
            for place, (config, trial) in enumerate(adopted):
                key = trial_key(config)
                labels = self.labels(key) if self.view.plan(key).is_file() else {}
                label = trial.label
                if marks is not None:
                    label["base"], label["curve"] = marks[place]["base"], marks[place]["curve"]
                label["place"] = place
                content = apart(config.model_dump(mode="json"))
                write_plan(
                    self.files.plan(key),
                    {"frozen_defaults": VERSION, "config": content, "labels": labels | {name: label}},
                )
                keys.append(key)
            self._rename(name, dict(zip(keys, (trial.label for trial in trials), strict=True)))
        except OSError as error:
            raise UserError(
                f"sweep folder {self.path} cannot be written ({error.strerror}): choose another with --out"
            ) from None
        return keys

    def _rename(self, name: str, labels: dict[str, Label]) -> None:
        """Take from trials that are not in `labels` what a sweep calls those that are."""
        for key in self.keys():
            plan = read_plan(self.view.plan(key))
            label = plan["labels"].get(name)
            if key in labels or label is None or not any(same_trial(label, taken) for taken in labels.values()):
                continue
            del plan["labels"][name]
            if plan["labels"] or self.trial(key).folder.is_dir():
                write_plan(self.files.plan(key), plan)
            else:
                self.files.plan(key).unlink(missing_ok=True)

    def _adopt(self, config: Config, config_dir: Path) -> Config:
        """The config with files of its own folder, calibration, technology and own code: the sweep can be moved,
        and the key holds their hashes."""
        config = kept_in(config, config_dir, self.files.code, self.path)
        if names_a_file(config):
            text = technology_text(config, config_dir)
            kept = self._keep(f"{Path(config.cost.technology).stem}-technology", text)
            config = config.model_copy(update={"cost": config.cost.model_copy(update={"technology": kept})})
        named = config.imc.calibration
        if config.imc.path == "float" or not named.endswith(".json"):
            return config
        calibration = load_calibration(named, config_dir)
        text = calibration.model_dump_json(indent=1) + "\n"
        imc = config.imc.model_copy(update={"calibration": self._keep(Path(named).stem, text)})
        return config.model_copy(update={"imc": imc})

    def _keep(self, stem: str, text: str) -> str:
        """Write a file that configs name, called by its hash; where it is, as seen from the sweep's folder."""
        kept = self.files.calibrations / f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_text(kept, text)
        return kept.relative_to(self.path).as_posix()

    def key(self, config: Config, config_dir: Path) -> str:
        """The key that a trial has here, planned or not."""
        return trial_key(self._adopt(config, config_dir))

    def _check(self, key: str, config: Config, title: str) -> None:
        """A trial that is there must be the same training, whatever the defaults of the version that made it."""
        stored = self.trial(key)
        if not stored.is_run:
            return
        differs = same_training(load_kept_config(stored.config), config)
        if differs is not None:
            raise UserError(
                f"trial {key} ({title}) in {self.path} was begun with another default of {differs}: give that key in "
                "the config, or choose another folder with --out"
            )

    def config(self, key: str) -> Config:
        """The config of a planned trial."""
        return kept_config(self.view.config(key), str(self.view.plan(key)))

    def keys(self) -> list[str]:
        """Every planned trial."""
        return self.view.keys()

    def labels(self, key: str) -> dict[str, Label]:
        """What each sweep calls a planned trial."""
        return self.view.labels(key)

    def title(self, key: str) -> str:
        """A few words on a planned trial, from the newest of its labels."""
        labels = self.labels(key)
        if not labels:
            return f"trial {key}"
        newest = list(labels.values())[-1]
        return Trial(self.config(key), newest["reference"], newest["variant"], newest["axes"]).title

    def status(self, key: str, epochs: int = 0) -> TrialStatus:
        """Where a trial stands; `epochs` is how many it has."""
        return status_of(self.trial(key), epochs)

    def fail(self, key: str, error: str, code: int) -> None:
        """Note that a trial could not be trained, and why."""
        trial = self.trial(key)
        trial.folder.mkdir(parents=True, exist_ok=True)
        Failure(error=error, code=code).write(trial.failed)

    def prune(self, key: str, pruned: Pruned) -> None:
        """Stop a trial, wherever it is trained, as a signal would: its process sees the file, saves and ends."""
        pruned.write(self.trial(key).pruned)

    def want(self, key: str) -> None:
        """Let a trial go on that a search had stopped."""
        self.trial(key).pruned.unlink(missing_ok=True)

    def forgive(self, key: str) -> None:
        """Let a failed trial be tried again."""
        self.trial(key).failed.unlink(missing_ok=True)

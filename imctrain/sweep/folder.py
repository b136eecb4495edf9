"""The folder of a sweep, and where each of its trials stands, read from files alone.

    DIR/plan/KEY.json         what was asked for: what the trial's config sets apart from the frozen defaults (and
                              which table of them; a plan without that is relative to the first one), and its labels
                              by name of sweep
    DIR/calibrations/         calibration files that configs named
    DIR/trials/KEY/           an ordinary run folder; failed.json if it could not be trained
    DIR/results/              tables and figures
    DIR/trials.tar.xz         finished trials that were packed, with their plans (see `packed`)

Everything is named by hashes of its content, so two sweep folders merge by copying one over the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imctrain.calibration import load_calibration
from imctrain.errors import UserError
from imctrain.experiment.folder import is_claimed
from imctrain.files import write_json, write_text
from imctrain.frozen_defaults import VERSION, apart
from imctrain.packed import contents
from imctrain.settings import Config, kept_config, load_kept_config
from imctrain.sweep.trial import Trial, same_training, trial_key

TAIL_BYTES = 65536
DIVERGED = 3
MARKS = ("place", "base", "curve")
"""Of a label: what does not tell which trial it is (see `base` for the last two)."""


@dataclass(frozen=True)
class TrialStatus:
    """What the files of a trial say.

    Attributes:
        state: "waiting", "running", "stopped" (begun, not running), "done" or "failed".
        epoch: finished epochs, of `epochs`. accuracy: newest test accuracy, a fraction.
        seconds: of training so far, as far as finished epochs tell.
        error: why it failed. code: exit code of the failed run, 3 for a training that diverged.
    """

    state: str
    epoch: int = 0
    epochs: int = 0
    accuracy: float | None = None
    seconds: float = 0.0
    error: str = ""
    code: int | None = None

    @property
    def seconds_left(self) -> float | None:
        if self.state in ("done", "failed"):
            return 0.0
        return self.seconds / self.epoch * (self.epochs - self.epoch) if self.epoch else None


class SweepFolder:
    """A sweep's folder."""

    def __init__(self, path: Path):
        self.path = path
        self.plan = path / "plan"
        self.trials = path / "trials"
        self.calibrations = path / "calibrations"

    def trial(self, key: str) -> Path:
        """The run folder of a trial: in the sweep's folder, or, for reading only, where a packed one can be read."""
        packed = self._packed("trials", key)
        return packed if packed is not None and not (self.trials / key).is_dir() else self.trials / key

    def _plan(self, key: str) -> Path:
        """The file of a plan, for reading: a packed trial keeps its plan with it."""
        packed = self._packed("plan", f"{key}.json")
        return packed if packed is not None and not (self.plan / f"{key}.json").is_file() else self.plan / f"{key}.json"

    def _packed(self, *parts: str) -> Path | None:
        inside = contents(self.path)
        found = None if inside is None else inside.joinpath(*parts)
        return found if found is not None and found.exists() else None

    def add(
        self, name: str, trials: list[Trial], config_dir: Path, marks: Sequence[Mapping[str, str]] | None = None
    ) -> list[str]:
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
            for folder in (self.plan, self.trials):
                folder.mkdir(parents=True, exist_ok=True)
            for place, (config, trial) in enumerate(adopted):
                key = trial_key(config)
                target = self.plan / f"{key}.json"
                labels = self.labels(key) if self._plan(key).is_file() else {}
                label = trial.labels | dict(marks[place] if marks else {}) | {"place": place}
                content = apart(config.model_dump(mode="json"))
                write_json(target, {"frozen_defaults": VERSION, "config": content, "labels": labels | {name: label}})
                keys.append(key)
            self._rename(name, dict(zip(keys, (trial.labels for trial in trials), strict=True)))
        except OSError as error:
            raise UserError(
                f"sweep folder {self.path} cannot be written ({error.strerror}): choose another with --out"
            ) from None
        return keys

    def _rename(self, name: str, labels: dict[str, dict[str, Any]]) -> None:
        """Take from trials that are not in `labels` what a sweep calls those that are."""
        taken = list(labels.values())
        for key in self.keys():
            target = self.plan / f"{key}.json"
            content = json.loads(self._plan(key).read_text(encoding="utf-8"))
            label = content["labels"].get(name)
            if target.stem in labels or label is None:
                continue
            if {key: value for key, value in label.items() if key not in MARKS} in taken:
                del content["labels"][name]
                if content["labels"] or self.trial(target.stem).is_dir():
                    write_json(target, content)
                else:
                    target.unlink(missing_ok=True)

    def _adopt(self, config: Config, config_dir: Path) -> Config:
        """The config with a calibration file of its own folder: the sweep can be moved, and the key holds its hash."""
        named = config.imc.calibration
        if config.imc.path == "float" or not named.endswith(".json"):
            return config
        calibration = load_calibration(named, config_dir)
        text = calibration.model_dump_json(indent=1) + "\n"
        file = f"{Path(named).stem}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
        if not (self.calibrations / file).is_file():
            self.calibrations.mkdir(parents=True, exist_ok=True)
            write_text(self.calibrations / file, text)
        imc = config.imc.model_copy(update={"calibration": f"calibrations/{file}"})
        return config.model_copy(update={"imc": imc})

    def _check(self, key: str, config: Config, title: str) -> None:
        """A trial that is there must be the same training, whatever the defaults of the version that made it."""
        stored = self.trial(key) / "config.toml"
        if not stored.is_file():
            return
        differs = same_training(load_kept_config(stored), config)
        if differs is not None:
            raise UserError(
                f"trial {key} ({title}) in {self.path} was begun with another default of {differs}: give that key in "
                "the config, or choose another folder with --out"
            )

    def config(self, key: str) -> Config:
        """The config of a planned trial."""
        target = self._plan(key)
        try:
            plan = json.loads(target.read_text(encoding="utf-8"))
            content, version = plan["config"], plan.get("frozen_defaults", VERSION)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{target} is no plan of a trial: give the sweep's command again") from None
        if version != VERSION:
            raise UserError(
                f"{target} was planned against table {version!r} of defaults and this version of imctrain knows "
                f"{VERSION}: use the version that planned it, or give the sweep's command with another --out"
            )
        return kept_config(content, str(target))

    def keys(self) -> list[str]:
        """Every planned trial."""
        packed = self._packed("plan")
        places = [self.plan] if packed is None else [self.plan, packed]
        return sorted({path.stem for place in places for path in place.glob("*.json")})

    def labels(self, key: str) -> dict[str, dict[str, Any]]:
        """What each sweep calls a planned trial."""
        return dict(json.loads(self._plan(key).read_text(encoding="utf-8"))["labels"])

    def title(self, key: str) -> str:
        """A few words on a planned trial, from the newest of its labels."""
        labels = self.labels(key)
        if not labels:
            return f"trial {key}"
        newest: dict[str, Any] = list(labels.values())[-1]
        return Trial(self.config(key), newest["reference"], newest["variant"], newest["axes"]).title

    def status(self, key: str, epochs: int = 0) -> TrialStatus:
        """Where a trial stands; `epochs` is how many it has."""
        folder = self.trial(key)
        result = _read_json(folder / "result.json")
        if result is not None:
            return TrialStatus("done", result["epochs"], result["epochs"], result["test_accuracy"], result["seconds"])
        records = _tail(folder / "metrics.jsonl")
        done = [record for record in records if record.get("kind") == "epoch"]
        epoch = done[-1]["epoch"] if done else 0
        accuracy = next((r["test_accuracy"] for r in reversed(done) if r.get("test_accuracy") is not None), None)
        # The file's end holds the newest epochs only: their mean stands for those before.
        seconds = epoch * sum(record["seconds"] for record in done) / len(done) if done else 0.0
        failed = _read_json(folder / "failed.json")
        if failed is not None:
            return TrialStatus("failed", epoch, epochs, accuracy, seconds, failed["error"], failed["code"])
        if is_claimed(folder):
            state = "running"
        else:
            state = "stopped" if (folder / "config.toml").is_file() else "waiting"
        return TrialStatus(state, epoch, epochs, accuracy, seconds)

    def fail(self, key: str, error: str, code: int) -> None:
        """Note that a trial could not be trained, and why."""
        self.trial(key).mkdir(parents=True, exist_ok=True)
        write_json(self.trial(key) / "failed.json", {"error": error, "code": code})

    def forgive(self, key: str) -> None:
        """Let a failed trial be tried again."""
        (self.trial(key) / "failed.json").unlink(missing_ok=True)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _tail(path: Path) -> list[dict[str, Any]]:
    """The records at the end of a JSON Lines file that may be growing."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - TAIL_BYTES))
            lines = stream.read().splitlines()
    except OSError:
        return []
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records

"""Candidates: settings that a search may try, as ordinary trials; and what is known of them from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from imctrain.errors import UserError
from imctrain.records.metrics import epoch_lines, read_tail
from imctrain.records.result import Pruned, Result
from imctrain.settings import Config
from imctrain.sweep.base import marks_of
from imctrain.sweep.folder import DIVERGED, SweepFolder
from imctrain.sweep.search.energy import EnergyOf, steps_of
from imctrain.sweep.search.spec import FOUND, Question
from imctrain.sweep.spec import config_of, reference_of
from imctrain.sweep.train import check_hardware
from imctrain.sweep.trial import Trial

TESTED = "-tested"
"""Ends the name of the sweep of what was chosen, measured on the test images."""


@dataclass(frozen=True)
class Candidate:
    """Settings, and their trials.

    Attributes:
        name: of a recipe or a reference; `FOUND` for what a search asked for.
        values: by dotted key of the space; of a recipe, nothing.
        trials: one a seed. keys: of them, as planned.
        step_j, training_j: energy of a step and of the whole training; None where it is not known before it is trained.
    """

    name: str
    values: Mapping[str, JsonValue]
    trials: tuple[Trial, ...]
    keys: tuple[str, ...] = ()
    step_j: float | None = None
    training_j: float | None = None

    @property
    def config(self) -> Config:
        return self.trials[0].config


@dataclass(frozen=True)
class Outcome:
    """What the folder knows of a candidate.

    Attributes:
        state: "open", "done", "pruned", "diverged", "failed", or "impossible" (a trial refused its config).
        accuracy: on the held-out images, a fraction, mean over seeds; None unless it is done.
        tested: the same on the test images; None where they were not measured. images: how many those are.
        step_j, training_j: energy, J; None where it is not counted. error: why it failed.
    """

    state: str
    accuracy: float | None = None
    tested: float | None = None
    images: int | None = None
    step_j: float | None = None
    training_j: float | None = None
    error: str = ""
    seeds: tuple[float, ...] = field(default=())


class Candidates:
    """Makes candidates of a question, plans them in its folder, and reads what became of them."""

    def __init__(self, question: Question, folder: SweepFolder, energy: EnergyOf):
        self.question = question
        self.folder = folder
        self._energy = energy

    def found(self, values: Mapping[str, JsonValue]) -> Candidate:
        """Of settings that a search asks for. Raises UserError for what the config or the hardware refuses."""
        first = next(iter(self.question.recipes.values()))
        return self._make(FOUND, values, dict(first) | dict(values))

    def possible(self, values: Mapping[str, JsonValue]) -> None:
        """Raise UserError for settings that the config or the hardware refuses; sites are not looked at."""
        spec = self.question.sweep
        first = next(iter(self.question.recipes.values()))
        config = config_of(spec, Path(spec.config), spec.seeds[0], dict(first) | dict(values))
        check_hardware([Trial(config)], self.question.config_dir)

    def recipe(self, name: str) -> Candidate:
        return self._make(name, {}, self.question.recipes[name])

    def reference(self, name: str) -> Candidate:
        """Standard training, or the formats alone: no array, so no energy of one."""
        spec = self.question.sweep
        path = Path(spec.config)
        trials = tuple(self._judged(reference_of(spec, path, name, seed)) for seed in spec.seeds)  # type: ignore[arg-type]
        return Candidate(name, {}, trials)

    def _make(self, name: str, values: Mapping[str, JsonValue], changes: Mapping[str, JsonValue]) -> Candidate:
        spec = self.question.sweep
        path = Path(spec.config)
        trials = tuple(
            self._judged(Trial(config_of(spec, path, seed, changes), None, name, dict(values), spec.own_chips))
            for seed in spec.seeds
        )
        check_hardware(trials[:1], self.question.config_dir)
        config = trials[0].config
        step = self._energy(config, self.question.config_dir)
        training = None if step is None else step * steps_of(config)
        return Candidate(name, values, trials, (), step, training)

    def _judged(self, trial: Trial) -> Trial:
        """The trial with no look at the test images."""
        data = trial.config.data.replace(test_at_end=False)
        return Trial(trial.config.replace(data=data), trial.reference, trial.variant, trial.axes)

    def plan(self, candidate: Candidate) -> Candidate:
        """Write its trials down; what another search stopped goes on."""
        spec = self.question.sweep
        trials = list(candidate.trials)
        keys = self.folder.add(spec.name, trials, self.question.config_dir, marks_of(spec, trials))
        return Candidate(**{**vars(candidate), "keys": tuple(keys)})

    def keys_of(self, candidate: Candidate) -> tuple[str, ...]:
        """The keys that its trials have, planned or not."""
        return tuple(self.folder.key(trial.config, self.question.config_dir) for trial in candidate.trials)

    def planned(self) -> list[dict[str, JsonValue]]:
        """Settings that a search of this name has asked for in the folder, or in one that was merged into it."""
        name = self.question.sweep.name
        labels = map(self.folder.view.labels, self.folder.view.keys())
        own = [label[name] for label in labels if name in label]
        found = [label["axes"] for label in own if label["variant"] == FOUND]
        return [values for place, values in enumerate(found) if values not in found[:place]]

    def outcome(self, candidate: Candidate) -> Outcome:
        """Where its trials stand."""
        results, states = [], []
        for key in candidate.keys:
            status = self.folder.status(key)
            states.append(status.state)
            if status.state == "failed":
                state = {2: "impossible", DIVERGED: "diverged"}.get(status.code or 0, "failed")
                return Outcome(state, error=status.error)
            if status.state == "done":
                results.append(Result.read(self.folder.trial(key).result))
        if "pruned" in states:
            return Outcome("pruned")
        if len(results) < len(candidate.keys):
            return Outcome("open")
        return _outcome(results, candidate)

    def stopped_here(self, candidate: Candidate) -> bool:
        """Whether a search of this name stopped it: the process may have ended before the study was told."""
        path = self.folder.trial(candidate.keys[0]).pruned
        return path.is_file() and Pruned.read(path).reason.startswith(f"search {self.question.sweep.name}:")

    def curve(self, key: str) -> list[float]:
        """Accuracy on the held-out images after each evaluated epoch, a fraction, as far as the trial is."""
        lines = epoch_lines(read_tail(self.folder.trial(key).metrics))
        return [line.evaluated for line in lines if line.evaluated is not None]


def _outcome(results: Sequence[Result], candidate: Candidate) -> Outcome:
    accuracies = [result.validation_accuracy for result in results if result.validation_accuracy is not None]
    if len(accuracies) < len(results):
        raise UserError(
            f"a trial of {candidate.name} says nothing of held-out images: delete it, and it is trained again"
        )
    tested = [result.test_accuracy for result in results if result.test_accuracy is not None]
    return Outcome(
        "done",
        sum(accuracies) / len(accuracies),
        sum(tested) / len(tested) if len(tested) == len(results) else None,
        results[0].test_images,
        candidate.step_j if candidate.step_j is not None else results[0].energy_step_j,
        candidate.training_j if candidate.training_j is not None else results[0].energy_training_j,
        seeds=tuple(accuracies),
    )

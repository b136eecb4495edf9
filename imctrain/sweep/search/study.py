"""The study of a search: Optuna's, in a file of the sweep's folder. It proposes settings, and is told what they gave.

The file is Optuna's journal: a line an event, appended. It survives a killed process, and lies as well on a folder that
several machines share as on a disk. One process at a time searches; its trials may be trained anywhere.

A proposal follows from the seed, its number and what was told before: each one has a sampler of its own, seeded by
both. So a search that was stopped proposes what it would have proposed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from imctrain.errors import UserError
from imctrain.sweep.search.space import Space
from imctrain.sweep.search.spec import SearchSpec

if TYPE_CHECKING:
    import optuna

WHY = "why"
"""Attribute of a proposal that was not trained: "impossible", "dear", or "repeat"."""
FEASIBLE = "accuracy"
"""Constraint of the least energy: points of accuracy that are missing, above 0 where it is not within the limit."""

POSSIBLE, IMPOSSIBLE = "possible", 100.0
"""Constraint of settings that config and hardware take, and how far it is broken otherwise: as by 100 points."""


def require_optuna() -> None:
    """Raise UserError where Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UserError("a search needs Optuna: pip install 'imctrain[search]'") from None


@dataclass(frozen=True)
class Proposal:
    """Settings that the study asks for."""

    number: int
    values: dict[str, JsonValue]


@contextmanager
def searching(path: Path) -> Iterator[None]:
    """Hold a study for this process. Raises UserError if another one does."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_suffix(".claimed"), timeout=0):
            yield
    except Timeout:
        raise UserError(f"{path} is being searched by another process: wait for it, or stop it first") from None


class Study:
    """One search's study.

    Args:
        path: the journal. name: of the study in it (`Question.identity`).
    """

    def __init__(self, path: Path, name: str, search: SearchSpec):
        self._search = search
        self._space = Space(search.space)
        self._study = _open_study(path, name, search.objective)

    def _trials(self) -> list[Any]:
        return self._study.get_trials(deepcopy=False)

    @property
    def proposals(self) -> int:
        """How many there have been."""
        return len(self._trials())

    def ask(self) -> Proposal:
        """The next settings."""
        self._study.sampler = _sampler(self._search, self.proposals)
        with _quiet():
            trial = self._study.ask(self._space.distributions)
        return Proposal(trial.number, self._space.values(trial.params))

    def running(self) -> list[Proposal]:
        """What was asked for and not told."""
        import optuna

        state = optuna.trial.TrialState.RUNNING
        return [
            Proposal(trial.number, self._space.values(trial.params)) for trial in self._trials() if trial.state == state
        ]

    def told(self) -> list[dict[str, JsonValue]]:
        """Settings that something was told of, repeats and what was not trained left out."""
        return [
            self._space.values(t.params) for t in self._trials() if WHY not in t.user_attrs and t.state.is_finished()
        ]

    @property
    def tried(self) -> int:
        """Settings that were trained, or are: what was refused or proposed twice does not count."""
        known = (self._space.values(trial.params) for trial in self._trials() if WHY not in trial.user_attrs)
        return len({repr(sorted(values.items())) for values in known})

    def tell(self, number: int, accuracy: float, energy: float | None, missing: float | None = None) -> None:
        """What a proposal gave.

        Args:
            accuracy: on the held-out images, a fraction. energy: of the training, J.
            missing: of the least energy: points of accuracy below what is allowed; 0 or less is within it.
        """
        if missing is not None:
            self._trial(number).set_constraint(FEASIBLE, missing)
        self._study.tell(number, self._measures(accuracy, energy))

    def tell_untrained(self, number: int, why: str) -> None:
        """A proposal was not trained: "impossible" (no settings at all), or "dear" (possible, and no answer).

        Samplers learn nothing of failed trials, and would propose the same again: these are pruned ones, and what is
        impossible breaks a constraint.
        """
        import optuna

        trial = self._trial(number)
        trial.set_user_attr(WHY, why)
        if why == "impossible":
            trial.set_constraint(POSSIBLE, IMPOSSIBLE)
        self._study.tell(number, state=optuna.trial.TrialState.PRUNED)

    def tell_repeat(self, number: int, accuracy: float | None, energy: float | None, missing: float | None) -> None:
        """A proposal was there before: it is worth what that was, None for nothing."""
        import optuna

        self._trial(number).set_user_attr(WHY, "repeat")
        if accuracy is None:
            self._study.tell(number, state=optuna.trial.TrialState.PRUNED)
        else:
            self.tell(number, accuracy, energy, missing)

    def tell_lost(self, number: int, *, learn: bool) -> None:
        """A proposal has no result. `learn`: it fell behind or diverged, and is worse than all that were finished; or
        else its training broke off, which says nothing."""
        import optuna

        states = optuna.trial.TrialState
        self._study.tell(number, state=states.PRUNED if learn else states.FAIL)

    def add(
        self, values: Mapping[str, JsonValue], accuracy: float, energy: float | None, missing: float | None
    ) -> bool:
        """Tell of settings that it did not ask for; False for those that lie outside the space."""
        import optuna

        params = self._space.params(values)
        if params is None:
            return False
        with _quiet():
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=params,
                    distributions=self._space.distributions,
                    values=self._measures(accuracy, energy),
                    constraints=None if missing is None else {FEASIBLE: missing},
                )
            )
        return True

    def falls_behind(self, number: int, curve: Sequence[float], warmup: int) -> bool:
        """Optuna's median rule, for the one objective that is accuracy itself."""
        import optuna

        trial = self._trial(number)
        known = self._trials()[number].intermediate_values
        self._study.pruner = optuna.pruners.MedianPruner(
            n_startup_trials=self._search.startup, n_warmup_steps=warmup + 1
        )
        for epoch, accuracy in enumerate(curve, 1):
            if epoch not in known:
                trial.report(accuracy, epoch)
        return bool(trial.should_prune())

    def _trial(self, number: int) -> optuna.trial.Trial:
        import optuna

        return optuna.trial.Trial(self._study, self._trials()[number]._trial_id)

    def _measures(self, accuracy: float, energy: float | None) -> list[float]:
        values: dict[str, list[float | None]] = {
            "pareto": [accuracy, energy],
            "least_energy": [energy],
            "accuracy": [accuracy],
        }
        return [float(value) for value in values[self._search.objective] if value is not None]


def _open_study(path: Path, name: str, objective: str) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path.parent.mkdir(parents=True, exist_ok=True)
    _drop_half_line(path)
    directions: dict[str, Any] = {
        "pareto": ["maximize", "minimize"],
        "least_energy": ["minimize"],
        "accuracy": ["maximize"],
    }
    try:
        with _quiet():
            return optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(path))),
                study_name=name,
                directions=directions[objective],
                load_if_exists=True,
            )
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{path} is no journal of a study ({' '.join(str(error).split())[:200]}): delete it; trials that are "
            "finished are told anew"
        ) from None


def _sampler(search: SearchSpec, number: int) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    seed = int(np.random.SeedSequence((search.seed, number)).generate_state(1)[0])
    with _quiet():
        if search.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        if search.sampler == "nsga2":
            return samplers.NSGAIISampler(population_size=max(2, search.startup), seed=seed)
        # Trials that are still trained count as bad ones: workers do not all ask for the same.
        return samplers.TPESampler(n_startup_trials=search.startup, constant_liar=True, seed=seed)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's notes on what is experimental are no news to who searches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _drop_half_line(path: Path) -> None:
    """A process that was killed may have left half an event at the end, which no reader takes."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)

"""What is known of candidates: kept, told to the study, and used to stop what falls behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from imctrain.errors import UserError
from imctrain.records.result import Pruned
from imctrain.sweep.search.candidates import Candidate, Candidates, Outcome
from imctrain.sweep.search.judge import Judge, Row
from imctrain.sweep.search.pruning import Peer, buys_less, warmup_of
from imctrain.sweep.search.study import Study
from imctrain.units import joules


@dataclass
class Open:
    """A candidate that is trained, or will be, under the numbers of its proposals."""

    candidate: Candidate
    numbers: list[int]
    first: str
    """Key of the trial that pruning looks at."""
    seen: int = 0
    """Evaluations that were looked at."""


@dataclass
class Counts:
    """Of one call: what became of proposals."""

    impossible: int = 0
    dear: int = 0
    repeats: int = 0
    pruned: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)


class Known:
    """Candidates that ended, by the keys of their trials."""

    def __init__(self, candidates: Candidates, study: Study, judge: Judge):
        self._candidates = candidates
        self._study = study
        self._judge = judge
        self._peers: list[Peer] = []
        self.ended: dict[tuple[str, ...], Row] = {}
        self.counts = Counts()

    @property
    def finished(self) -> list[Row]:
        """Those with a result, in the order in which they came."""
        return [row for row in self.ended.values() if row[1].state == "done"]

    @property
    def best(self) -> Row | None:
        """The one to show."""
        return self._judge.best(self.finished)

    def keep(self, candidate: Candidate, outcome: Outcome) -> None:
        """Remember how a candidate ended."""
        new = candidate.keys not in self.ended
        self.ended[candidate.keys] = (candidate, outcome)
        if new and outcome.state == "done" and outcome.training_j is not None:
            self._peers.append(Peer(outcome.training_j, tuple(self._candidates.curve(candidate.keys[0]))))

    def remember(self, values: dict[str, JsonValue]) -> None:
        """What the folder knows of settings that the study was told of."""
        try:
            candidate = self._candidates.plan(self._candidates.found(values))
        except UserError:
            return
        outcome = self._candidates.outcome(candidate)
        if outcome.state != "open":
            self.keep(candidate, outcome)

    def tell(self, found: Open, outcome: Outcome) -> None:
        """Tell the study how a candidate ended, and keep it. Raises UserError for an energy that nobody knows."""
        search = self._judge.search
        if outcome.state == "done" and search.needs_energy and outcome.training_j is None:
            raise UserError(
                f"the energy of trial {found.first} is not known, and search.objective = {search.objective!r} needs "
                "it: use objective = 'accuracy' without a limit"
            )
        self.keep(found.candidate, outcome)
        first, *repeats = found.numbers
        self.counts.errors += [outcome.error] if outcome.error else []
        if outcome.accuracy is not None:
            self._study.tell(first, outcome.accuracy, outcome.training_j, self._judge.missing(outcome))
        else:
            # What diverged, or was refused when its training began, is as bad as what fell behind.
            broken = outcome.state == "failed"
            self.counts.failed += broken
            self.counts.pruned += not broken
            self._study.tell_lost(first, learn=not broken)
        for number in repeats:
            self.repeat(number, outcome)

    def refuse(self, number: int, why: str, error: str = "") -> None:
        """Tell the study of a proposal that is not trained (`Study.tell_untrained`)."""
        self.counts.impossible += why == "impossible"
        self.counts.dear += why == "dear"
        self.counts.errors += [error] if error else []
        self._study.tell_untrained(number, why)

    def repeat(self, number: int, outcome: Outcome) -> None:
        """Tell the study of a proposal that was there before."""
        self.counts.repeats += 1
        self._study.tell_repeat(number, outcome.accuracy, outcome.training_j, self._judge.missing(outcome))

    def look(self, found: Open) -> None:
        """Stop a candidate that falls behind; of several seeds, the first one's curve tells."""
        curve = self._candidates.curve(found.first)
        if len(curve) <= found.seen or self._candidates.folder.trial(found.first).is_finished:
            return
        found.seen = len(curve)
        training = found.candidate.config.training
        if self._falls_behind(found, curve, warmup_of(training.epochs, training.eval_every)):
            reason = f"search {self._candidates.question.sweep.name}: it fell behind the median of its peers"
            self._candidates.folder.prune(
                found.first, Pruned(epoch=len(curve) * training.eval_every, accuracy=curve[-1], reason=reason)
            )

    def _falls_behind(self, found: Open, curve: Sequence[float], warmup: int) -> bool:
        search, energy = self._judge.search, found.candidate.training_j
        if search.objective == "accuracy":
            return self._study.falls_behind(found.numbers[0], curve, warmup)
        return energy is not None and buys_less(curve, energy, self._peers, search.startup, warmup)


def told(candidate: Candidate, outcome: Outcome) -> str:
    """A candidate in a few words."""
    values = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in candidate.values.items())
    accuracy = "" if outcome.accuracy is None else f", {100 * outcome.accuracy:.2f} %"
    energy = "" if outcome.training_j is None else f", {joules(outcome.training_j)}"
    return f"{values or candidate.name}{accuracy}{energy}"

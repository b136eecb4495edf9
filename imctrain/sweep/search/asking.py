"""Asks the study for settings as slots become free, tells it what they gave, and stops what falls behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from imctrain.errors import UserError
from imctrain.records.result import Pruned
from imctrain.sweep.search.answer import joules
from imctrain.sweep.search.candidates import Candidate, Candidates, Outcome
from imctrain.sweep.search.judge import Judge, Row
from imctrain.sweep.search.pruning import Peer, buys_less, warmup_of
from imctrain.sweep.search.study import Proposal, Study

MOST_IDLE = 100
"""Proposals in a row of which none is to be trained: the space is searched."""
AT_ONCE = 10
"""Proposals that a pool waits for."""
LOOK_SECONDS = 1.0


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


class Asking:
    """A supply of trials (`sweep.supply.Supply`) that a study chooses.

    Args:
        budget: settings to try in all, those of earlier calls included.
        watch: told the keys of trials that are new. say: a line for a person.
    """

    def __init__(
        self,
        candidates: Candidates,
        study: Study,
        judge: Judge,
        budget: int,
        watch: Callable[[Sequence[str]], None] = lambda keys: None,
        say: Callable[[str], None] = lambda text: None,
    ):
        self._candidates = candidates
        self._study = study
        self.judge = judge
        self._budget = budget
        self.watch = watch
        self.say = say
        self._waiting: list[str] = []
        self._open: dict[tuple[str, ...], Open] = {}
        self._owner: dict[str, tuple[str, ...]] = {}
        self._ended: dict[tuple[str, ...], Row] = {}
        self._peers: list[Peer] = []
        self._idle = 0
        self._looked = 0.0
        self.counts = Counts()

    # What a pool calls.

    @property
    def over(self) -> bool:
        return not self._waiting and (self._study.tried >= self._budget or self._idle >= MOST_IDLE)

    def take(self) -> str | None:
        for _ in range(AT_ONCE):
            if self._waiting or self.over:
                break
            self._consider(self._study.ask())
        return self._waiting.pop(0) if self._waiting else None

    def put_back(self, key: str) -> None:
        self._waiting.insert(0, key)

    def ended(self, key: str) -> None:
        found = self._open.get(self._owner.get(key, ()))
        if found is None:
            return
        if self._candidates.folder.status(key).state not in ("done", "failed", "pruned"):
            log = self._candidates.folder.trial(key).log
            self._candidates.folder.fail(key, f"its process ended without a result (log: {log})", 1)
        self._settle(found)

    def tick(self) -> None:
        """Look at what is trained."""
        if time.monotonic() - self._looked < LOOK_SECONDS or not self.judge.search.prune:
            return
        self._looked = time.monotonic()
        for found in list(self._open.values()):
            self._look(found)

    # What is known.

    @property
    def finished(self) -> list[Row]:
        """Candidates with a result, in the order in which they came."""
        return [row for row in self._ended.values() if row[1].state == "done"]

    @property
    def idle(self) -> bool:
        """Whether the study has nothing new to propose."""
        return self._idle >= MOST_IDLE

    def note(self) -> str:
        """The best so far, in a line."""
        best = self.judge.best(self.finished)
        tried = f"{self._study.tried} of {self._budget} settings tried"
        return tried if best is None else f"{tried}; best so far: {told(*best)}"

    def catch_up(self, others: Sequence[tuple[dict[str, JsonValue], Outcome]] = ()) -> None:
        """Make the study and the folder agree: what was asked for and not told is told, or trained on.

        Args:
            others: finished settings of the folder that this study may not know, such as those of a merged folder.
        """
        known = self._study.told()
        for values in known:
            self._remember(values)
        for proposal in self._study.running():
            known.append(proposal.values)
            self._consider(proposal)
        for values, outcome in others:
            if values not in known and outcome.accuracy is not None:
                added = self._study.add(values, outcome.accuracy, outcome.training_j, self.judge.missing(outcome))
                if added:
                    known.append(values)
                    self._remember(values)

    def _remember(self, values: dict[str, JsonValue]) -> None:
        """What the folder knows of settings that the study was told of."""
        try:
            candidate = self._candidates.plan(self._candidates.found(values))
        except UserError:
            return
        outcome = self._candidates.outcome(candidate)
        if outcome.state != "open":
            self._keep(candidate, outcome)

    # Proposals.

    def _consider(self, proposal: Proposal) -> None:
        """Tell the study what is known of a proposal, or queue it."""
        number = proposal.number
        try:
            candidate = self._candidates.found(proposal.values)
        except UserError as error:
            self.counts.impossible += 1
            self.counts.errors.append(str(error))
            self._pass(number, "impossible")
            return
        known = all(self._candidates.folder.trial(key).is_finished for key in self._candidates.keys_of(candidate))
        if not known and self.judge.too_dear(candidate, self.judge.best(self.finished)):
            self.counts.dear += 1
            self._pass(number, "dear")
            return
        candidate = self._candidates.plan(candidate)
        before = self._ended.get(candidate.keys)
        if before is not None or candidate.keys in self._open:
            self.counts.repeats += 1
            self._idle += 1
            self._repeat(number, candidate, None if before is None else before[1])
            return
        self._idle = 0
        found = self._open[candidate.keys] = Open(candidate, [number], candidate.keys[0])
        self._owner |= dict.fromkeys(candidate.keys, candidate.keys)
        outcome = self._candidates.outcome(candidate)
        if outcome.state in ("done", "impossible") or (outcome.state == "pruned" and self._is_mine(candidate)):
            self._settle(found)
            return
        for key in candidate.keys:
            # What another search stopped, or what broke off, goes on here.
            self._candidates.folder.want(key)
            if self._candidates.folder.status(key).state != "done":
                self._candidates.folder.forgive(key)
                self._waiting.append(key)
        self.watch(candidate.keys)

    def _is_mine(self, candidate: Candidate) -> bool:
        """Whether this search stopped a trial: the process may have ended before the study was told."""
        path = self._candidates.folder.trial(candidate.keys[0]).pruned
        return path.is_file() and self._candidates.question.sweep.name in Pruned.read(path).reason

    def _pass(self, number: int, why: str) -> None:
        self._idle += 1
        self._study.tell_untrained(number, why)

    def _repeat(self, number: int, candidate: Candidate, outcome: Outcome | None) -> None:
        if outcome is None:
            self._open[candidate.keys].numbers.append(number)
            return
        energy = outcome.training_j
        self._study.tell_repeat(number, outcome.accuracy, energy, self.judge.missing(outcome))

    # Results.

    def _settle(self, found: Open) -> None:
        """Tell the study how a candidate ended, once it has."""
        candidate = found.candidate
        outcome = self._candidates.outcome(candidate)
        if outcome.state == "open":
            return
        del self._open[candidate.keys]
        # Of a candidate that is out, the trials of other seeds are not begun.
        self._waiting = [key for key in self._waiting if key not in candidate.keys]
        if outcome.state == "done" and self.judge.search.needs_energy and outcome.training_j is None:
            raise UserError(
                f"the energy of trial {candidate.keys[0]} is not known, and search.objective = "
                f"{self.judge.search.objective!r} needs it: use objective = 'accuracy' without a limit"
            )
        self._keep(candidate, outcome)
        first, *repeats = found.numbers
        if outcome.state == "done":
            assert outcome.accuracy is not None
            self._study.tell(first, outcome.accuracy, outcome.training_j, self.judge.missing(outcome))
        elif outcome.state == "failed":
            self.counts.failed += 1
            self.counts.errors.append(outcome.error)
            self._study.tell_failed(first)
        else:
            # What diverged, or was refused when its training began, is as bad as what fell behind.
            self.counts.pruned += 1
            self.counts.errors += [outcome.error] if outcome.error else []
            self._study.tell_pruned(first)
        for number in repeats:
            self._repeat(number, candidate, outcome)
        if outcome.state == "done" and self.judge.best(self.finished) == self._ended[candidate.keys]:
            self.say(self.note())

    def _keep(self, candidate: Candidate, outcome: Outcome) -> None:
        new = candidate.keys not in self._ended
        self._ended[candidate.keys] = (candidate, outcome)
        if new and outcome.state == "done" and outcome.training_j is not None:
            self._peers.append(Peer(outcome.training_j, tuple(self._candidates.curve(candidate.keys[0]))))

    def _look(self, found: Open) -> None:
        """Stop a candidate that falls behind; of several seeds, the first one's curve tells."""
        curve = self._candidates.curve(found.first)
        if len(curve) <= found.seen or self._candidates.folder.trial(found.first).is_finished:
            return
        found.seen = len(curve)
        search, training = self.judge.search, found.candidate.config.training
        warmup = warmup_of(training.epochs, training.eval_every)
        if search.objective == "accuracy":
            behind = self._study.falls_behind(found.numbers[0], curve, warmup)
        elif found.candidate.training_j is None:
            behind = False
        else:
            behind = buys_less(curve, found.candidate.training_j, self._peers, search.startup, warmup)
        if behind:
            reason = f"search {self._candidates.question.sweep.name}: it fell behind the median of its peers"
            self._candidates.folder.prune(
                found.first, Pruned(epoch=len(curve) * training.eval_every, accuracy=curve[-1], reason=reason)
            )


def told(candidate: Candidate, outcome: Outcome) -> str:
    """A candidate in a few words."""
    values = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in candidate.values.items())
    accuracy = "" if outcome.accuracy is None else f", {100 * outcome.accuracy:.2f} %"
    energy = "" if outcome.training_j is None else f", {joules(outcome.training_j)}"
    return f"{values or candidate.name}{accuracy}{energy}"

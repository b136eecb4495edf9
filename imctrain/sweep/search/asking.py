"""Asks the study for settings as slots become free, tells it what they gave, and stops what falls behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pydantic import JsonValue

from imctrain.errors import UserError
from imctrain.sweep.search.candidates import Candidates, Outcome
from imctrain.sweep.search.judge import Judge
from imctrain.sweep.search.known import Known, Open, told
from imctrain.sweep.search.study import Proposal, Study

MOST_IDLE = 100
"""Proposals in a row of which none is to be trained: the space is searched."""
AT_ONCE = 10
"""Proposals that a pool waits for."""
LOOK_SECONDS = 1.0


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
        self._idle = 0
        self._looked = 0.0
        self.known = Known(candidates, study, judge)

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
            self.known.look(found)

    @property
    def idle(self) -> bool:
        """Whether the study has nothing new to propose."""
        return self._idle >= MOST_IDLE

    def note(self) -> str:
        """How far it is, and the best so far, in a line."""
        tried = f"{self._study.tried} of {self._budget} settings tried"
        return tried if self.known.best is None else f"{tried}; best so far: {told(*self.known.best)}"

    def catch_up(self, others: Sequence[tuple[dict[str, JsonValue], Outcome]] = ()) -> None:
        """Make the study and the folder agree: what was asked for and not told is told, or trained on.

        Args:
            others: finished settings of the folder that this study may not know, such as those of a merged folder.
        """
        known = self._study.told()
        for values in known:
            self.known.remember(values)
        for proposal in self._study.running():
            known.append(proposal.values)
            self._consider(proposal)
        for values, outcome in others:
            if values not in known and outcome.accuracy is not None:
                added = self._study.add(values, outcome.accuracy, outcome.training_j, self.judge.missing(outcome))
                if added:
                    known.append(values)
                    self.known.remember(values)

    def _consider(self, proposal: Proposal) -> None:
        """Tell the study what is known of a proposal, or queue it."""
        number = proposal.number
        try:
            candidate = self._candidates.found(proposal.values)
        except UserError as error:
            self._idle += 1
            self.known.refuse(number, "impossible", str(error))
            return
        trained = all(self._candidates.folder.trial(key).is_finished for key in self._candidates.keys_of(candidate))
        if not trained and self.judge.too_dear(candidate, self.known.best):
            self._idle += 1
            self.known.refuse(number, "dear")
            return
        candidate = self._candidates.plan(candidate)
        before = self.known.ended.get(candidate.keys)
        if before is not None or candidate.keys in self._open:
            self._idle += 1
            if before is not None:
                self.known.repeat(number, before[1])
            else:
                self._open[candidate.keys].numbers.append(number)
            return
        self._idle = 0
        found = self._open[candidate.keys] = Open(candidate, [number], candidate.keys[0])
        self._owner |= dict.fromkeys(candidate.keys, candidate.keys)
        outcome = self._candidates.outcome(candidate)
        if outcome.state in ("done", "impossible") or (
            outcome.state == "pruned" and self._candidates.stopped_here(candidate)
        ):
            self._settle(found)
            return
        for key in candidate.keys:
            # What another search stopped, or what broke off, goes on here.
            self._candidates.folder.want(key)
            if self._candidates.folder.status(key).state != "done":
                self._candidates.folder.forgive(key)
                self._waiting.append(key)
        self.watch(candidate.keys)

    def _settle(self, found: Open) -> None:
        """Tell the study how a candidate ended, once it has."""
        candidate = found.candidate
        outcome = self._candidates.outcome(candidate)
        if outcome.state == "open":
            return
        del self._open[candidate.keys]
        # Of a candidate that is out, the trials of other seeds are not begun.
        self._waiting = [key for key in self._waiting if key not in candidate.keys]
        self.known.tell(found, outcome)
        if outcome.state == "done" and self.known.best == self.known.ended[candidate.keys]:
            self.say(self.note())

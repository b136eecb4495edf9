"""What answers a question: limits on energy, points of accuracy that are missing, and what is chosen in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from imctrain.errors import UserError
from imctrain.sweep.search.candidates import Candidate, Outcome
from imctrain.sweep.search.spec import Question, SearchSpec

Row = tuple[Candidate, Outcome]


@dataclass(frozen=True)
class Judge:
    """Measures candidates by a question.

    Attributes:
        target: accuracy, a fraction, that the least energy must reach; None for other objectives.
        limit_j: most energy of a training, J; None for no limit.
        least_j: of the least energy, that of the cheapest recipe that reaches the target: what is found must be below.
    """

    search: SearchSpec
    target: float | None = None
    limit_j: float | None = None
    least_j: float | None = None

    @classmethod
    def of(cls, question: Question, by_hand: dict[str, Row]) -> Judge:
        """By the finished trainings by hand.

        Args:
            by_hand: recipes and references, by name.

        Raises UserError where one that is needed has no result, or no energy.
        """
        search, target, limit = question.search, None, search_limit(question, by_hand)
        if search.within_points is not None:
            outcome = by_hand[question.reference][1]
            if outcome.accuracy is None:
                raise UserError(
                    f"within_points counts from {question.reference}, which has no result ({outcome.error}): choose "
                    "another search.reference"
                )
            target = outcome.accuracy - search.within_points / 100
        judge = cls(search, target, limit)
        if target is None:
            return judge
        outcomes = [by_hand[name][1] for name in question.recipes]
        energies = [each.training_j for each in outcomes if judge.allowed(each) and each.training_j is not None]
        return replace(judge, least_j=min(energies, default=None))

    def missing(self, outcome: Outcome) -> float | None:
        """Points of accuracy below the target; 0 or less is within it. None where nothing is asked."""
        if self.target is None or outcome.accuracy is None:
            return None
        # A point is a hundredth: 97.0 % - 2 points is 95.0 % and not a bit more.
        return round(100 * (self.target - outcome.accuracy), 9)

    def too_dear(self, candidate: Candidate, best: Row | None) -> bool:
        """Whether a candidate is no answer whatever its accuracy: above the limit, or above the least energy so far."""
        if candidate.training_j is None:
            return False
        if self.limit_j is not None and candidate.training_j > self.limit_j:
            return True
        if self.target is None:
            return False
        found = None if best is None else best[1].training_j
        least = [energy for energy in (found, self.least_j) if energy is not None]
        return bool(least) and candidate.training_j >= min(least)

    def allowed(self, outcome: Outcome) -> bool:
        """Whether a finished candidate keeps to what was asked."""
        if outcome.accuracy is None:
            return False
        within = self.target is None or (self.missing(outcome) or 0.0) <= 0
        cheap = self.limit_j is None or (outcome.training_j is not None and outcome.training_j <= self.limit_j)
        return within and cheap

    def chosen(self, rows: Sequence[Row]) -> list[Row]:
        """The answer among finished candidates: the Pareto front, or the best one; empty where none is allowed."""
        allowed = [row for row in rows if self.allowed(row[1])]
        if self.search.objective == "pareto":
            return front(allowed)
        if self.least_j is not None:
            allowed = [row for row in allowed if (row[1].training_j or 0.0) < self.least_j]
        if not allowed:
            return []
        if self.search.objective == "accuracy":
            return [max(allowed, key=lambda row: (row[1].accuracy or 0.0, -(row[1].training_j or 0.0)))]
        return [min(allowed, key=lambda row: (row[1].training_j or 0.0, -(row[1].accuracy or 0.0)))]

    def best(self, rows: Sequence[Row]) -> Row | None:
        """The one to show while the search goes on: of a front, the most accurate."""
        chosen = self.chosen(rows)
        return max(chosen, key=lambda row: row[1].accuracy or 0.0, default=None)


def search_limit(question: Question, by_hand: dict[str, Row]) -> float | None:
    """The limit on a training's energy, J."""
    search = question.search
    if search.energy_limit_ratio is None:
        return search.energy_limit_j
    name = next(iter(question.recipes))
    energy = by_hand[name][1].training_j or by_hand[name][0].training_j
    if energy is None:
        raise UserError(f"energy_limit_ratio is against {name}, whose energy is not known: give energy_limit_j")
    return search.energy_limit_ratio * energy


def front(rows: Sequence[Row]) -> list[Row]:
    """Those that no other one is at least as good as in both, from the cheapest on; of equals, the first."""
    found: list[Row] = []
    order = sorted(range(len(rows)), key=lambda i: (rows[i][1].training_j or 0.0, -(rows[i][1].accuracy or 0.0), i))
    for i in order:
        if not found or (rows[i][1].accuracy or 0.0) > (found[-1][1].accuracy or 0.0):
            found.append(rows[i])
    return found

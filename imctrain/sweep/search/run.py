"""A whole search: first what is by hand, then what the study asks for; at last the answer meets the test images."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence

import numpy as np
from pydantic import JsonValue
from rich.console import Console

from imctrain.data import in_words
from imctrain.errors import UserError
from imctrain.records.kept_config import setting
from imctrain.sweep.base import marks_of, require_one_sweep
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.live_table import LiveTable
from imctrain.sweep.search.answer import Answer, AnswerLine
from imctrain.sweep.search.asking import Asking
from imctrain.sweep.search.candidates import Candidate, Candidates
from imctrain.sweep.search.energy import EnergyOf, energy_of
from imctrain.sweep.search.judge import Judge, Row
from imctrain.sweep.search.spec import Question
from imctrain.sweep.search.study import Study, require_optuna, searching
from imctrain.sweep.search.tested import plan_tested
from imctrain.sweep.train import Executor, Stopped, run
from imctrain.training.signals import StopRequest
from imctrain.units import joules

COMPANY = 20
"""Random settings beside which a value of the space is tried before it is called impossible."""
DRY = 100
"""Random settings that a dry run looks at."""


def search(
    question: Question,
    folder: SweepFolder,
    pool: Executor,
    console: Console,
    *,
    energy: EnergyOf = energy_of,
    keep_checkpoints: bool = False,
) -> Answer:
    """Answer a question, from where an earlier call stopped.

    Args:
        pool: must keep the checkpoints of finished trials: what is chosen goes on from them.
        energy: of a config, J a step.
        keep_checkpoints: do not delete checkpoints once the answer is there.

    Raises UserError for what cannot be searched, `sweep.train.Stopped` on a signal.
    """
    require_optuna()
    candidates = Candidates(question, folder, energy)
    by_hand = check(candidates)
    with searching(folder.files.study(question.sweep.name)):
        planned = {name: candidates.plan(candidate) for name, candidate in by_hand.items()}
        keys = [key for candidate in planned.values() for key in candidate.keys]
        for key in keys:
            folder.want(key)
        run(folder, keys, pool, console)
        known = {name: (candidate, candidates.outcome(candidate)) for name, candidate in planned.items()}
        judge = Judge.of(question, known)
        asking = _ask(candidates, judge, known, pool, console)
        chosen = judge.chosen(asking.known.finished)
        tested = _test(candidates, [row[0] for row in chosen], list(planned.values()), pool, console)
        answer = _answer(candidates, judge, asking, chosen, known, tested)
    if not keep_checkpoints:
        for trial in map(folder.files.trial, folder.keys()):
            if trial.is_finished:
                shutil.rmtree(trial.checkpoints, ignore_errors=True)
    return answer


def check(candidates: Candidates) -> dict[str, Candidate]:
    """What is trained by hand, references first. Raises UserError for a question that cannot be asked."""
    question = candidates.question
    by_hand: dict[str, Candidate] = {name: candidates.reference(name) for name in question.sweep.references}
    by_hand |= {name: candidates.recipe(name) for name in question.recipes}
    first = by_hand[next(iter(question.recipes))]
    if first.config.data.validation is None:
        raise UserError(
            f"search {question.sweep.name}: a search chooses by held-out images, so that test images stay unseen: set "
            "data.validation (0.2, say) in the config or in [set]"
        )
    if first.config.imc.path == "float" and question.search.needs_energy:
        raise UserError(
            f"search {question.sweep.name}: float training has no array whose energy counts: set imc.path, or use "
            "objective = 'accuracy'"
        )
    every = [trial for candidate in by_hand.values() for trial in candidate.trials]
    require_one_sweep(candidates.folder, question.sweep.name, every, marks_of(question.sweep, every))
    _check_values(candidates)
    return by_hand


def _check_values(candidates: Candidates) -> None:
    """Every end of the space must be possible in some company: a misspelt word would be refused in every proposal."""
    space = candidates.question.search.space
    rng = np.random.default_rng(0)
    for key, parameter in space.items():
        for value in parameter.ends:
            first = None
            for company in itertools.chain([{}], (_random(candidates.question, rng) for _ in range(COMPANY))):
                try:
                    candidates.possible({**company, key: value})
                    break
                except UserError as error:
                    first = first or error
            else:
                raise UserError(f"search {candidates.question.sweep.name}: search.space.{key}: {first}")


def _random(question: Question, rng: np.random.Generator) -> dict[str, JsonValue]:
    """Settings from the space, each key for itself."""
    values: dict[str, JsonValue] = {}
    for key, found in question.search.space.items():
        if found.choice is not None:
            values[key] = found.choice[rng.integers(len(found.choice))]
        elif found.whole is not None:
            values[key] = int(rng.choice(np.arange(found.whole[0], found.whole[1] + 1, int(found.step or 1))))
        elif found.real is not None:
            low, high = found.real
            values[key] = float(np.exp(rng.uniform(np.log(low), np.log(high))) if found.log else rng.uniform(low, high))
    return values


def _ask(candidates: Candidates, judge: Judge, known: dict[str, Row], pool: Executor, console: Console) -> Asking:
    """Train what the study asks for."""
    question, folder = candidates.question, candidates.folder
    spec = question.sweep
    every = list(known.values())[-1][0].trials
    name = f"{spec.name}-{question.identity(marks_of(spec, every)[0]['base'])}"
    study = Study(folder.files.study(spec.name), name, question.search)
    asking = Asking(candidates, study, judge, question.search.trials)

    def say(text: str) -> None:
        if not console.is_terminal:
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    asking.say = say
    others = [(_values_of(question, known[recipe][0]), known[recipe][1]) for recipe in question.recipes]
    for values in candidates.planned():
        try:
            candidate = candidates.found(values)
        except UserError:
            continue
        keys = candidates.keys_of(candidate)
        if all(folder.trial(key).is_finished for key in keys):
            others.append((values, candidates.outcome(candidates.plan(candidate))))
    with StopRequest() as stop, LiveTable(console, folder, [], pool.jobs, asking.note) as table:
        asking.watch = table.watch
        asking.catch_up(others)
        console.print(f"{asking.note()}, in {folder.path}", markup=False, highlight=False, soft_wrap=True)

        def tick() -> None:
            asking.tick()
            table.tick()

        pool.run(asking, tick, lambda: stop.number is not None)
    if stop.number is not None:
        raise Stopped(stop.number)
    return asking


def _values_of(question: Question, candidate: Candidate) -> dict[str, JsonValue]:
    """What a recipe has where the search looks."""
    content = candidate.config.model_dump(mode="json")
    return {key: setting(content, key) for key in question.search.space}


def _test(
    candidates: Candidates, chosen: Sequence[Candidate], by_hand: Sequence[Candidate], pool: Executor, console: Console
) -> dict[tuple[str, ...], Candidate]:
    """{keys of a candidate: the same on the test images}."""
    every = [*chosen, *(each for each in by_hand if candidates.outcome(each).state == "done")]
    planned = plan_tested(candidates, every)
    console.print(f"on the test images: {len(chosen)} chosen, {len(every) - len(chosen)} by hand", markup=False)
    run(candidates.folder, [key for each in planned for key in each.keys], pool, console)
    return {before.keys: after for before, after in zip(every, planned, strict=True)}


def _answer(
    candidates: Candidates,
    judge: Judge,
    asking: Asking,
    chosen: Sequence[Row],
    known: dict[str, Row],
    tested: dict[tuple[str, ...], Candidate],
) -> Answer:
    question = candidates.question

    def line(name: str, row: Row, values: dict[str, JsonValue]) -> AnswerLine:
        candidate, outcome = row
        after = tested.get(candidate.keys)
        found = None if after is None else candidates.outcome(after)
        return AnswerLine(
            name,
            values,
            outcome.accuracy,
            None if found is None else found.tested,
            None if found is None else found.images,
            outcome.step_j if outcome.step_j is not None else candidate.step_j,
            outcome.training_j if outcome.training_j is not None else candidate.training_j,
            len(candidate.trials),
            () if after is None else after.keys,
            outcome.error,
        )

    found = tuple(line("found", row, dict(row[0].values)) for row in chosen)
    recipes = tuple(line(name, known[name], _values_of(question, known[name][0])) for name in question.recipes)
    references = tuple(line(name, known[name], {}) for name in question.sweep.references)
    tried = tuple(line("tried", row, dict(row[0].values)) for row in asking.known.finished)
    return Answer(
        _asked(question, judge),
        found,
        (*recipes, *references),
        recipes[0],
        tuple(_notes(question, asking, chosen, known)),
        tried,
    )


def _asked(question: Question, judge: Judge) -> str:
    """The question in words."""
    search = question.search
    keys = ", ".join(search.space)
    if search.objective == "least_energy":
        what = f"least energy within {search.within_points:g} points of {question.reference}"
    elif search.objective == "accuracy":
        what = "highest accuracy"
    else:
        what = "highest accuracy and least energy (Pareto front)"
    limit = "" if judge.limit_j is None else f", at most {joules(judge.limit_j)} a training"
    return f"{question.sweep.name}: {what}{limit}, by {keys}"


def _notes(question: Question, asking: Asking, chosen: Sequence[Row], known: dict[str, Row]) -> list[str]:
    counts = asking.known.counts
    held = next(row[0].config.data.validation for row in known.values())
    assert held is not None  # `check` refuses questions without
    tried = asking.note().partition(";")[0]
    notes = [
        f"{tried}; in this call {counts.pruned} stopped early, diverged or refused, {counts.failed} "
        f"failed; not trained: {counts.impossible} impossible, {counts.dear} too dear, {counts.repeats} known",
        f"chosen by validation accuracy (data.validation = {in_words(held)}); the test images were measured once, "
        "after that",
        "the interval is that of so many test images (Wilson); it holds neither seeds nor dies",
    ]
    if not chosen:
        cheaper = "" if asking.judge.least_j is None else " and is cheaper than what is by hand"
        notes.insert(0, f"NOTHING WAS FOUND that keeps to the question{cheaper}: widen the space, or allow more")
    if asking.idle:
        notes.append("the study proposed nothing new any more: the rest of the space is known, impossible or too dear")
    if counts.errors:
        notes.append(f"one of the refusals: {counts.errors[-1]}")
    return notes


def dry_run(question: Question, folder: SweepFolder, *, energy: EnergyOf = energy_of) -> list[str]:
    """What a search would do, in lines: nothing is trained, or written into the folder."""
    require_optuna()
    candidates = Candidates(question, folder, energy)
    by_hand = check(candidates)
    rng = np.random.default_rng(question.search.seed)
    possible, errors, energies = 0, [], []
    for _ in range(DRY):
        try:
            candidate = candidates.found(_random(question, rng))
        except UserError as error:
            errors.append(str(error))
            continue
        possible += 1
        if candidate.training_j is not None:
            energies.append(candidate.training_j)
    lines = [_asked(question, Judge(question.search, None, question.search.energy_limit_j))]
    lines += [f"{key}: {parameter_text}" for key, parameter_text in _space_text(question).items()]
    lines.append(
        f"by hand: {', '.join(by_hand)}; then {question.search.trials} settings, {len(question.sweep.seeds)} seed(s)"
    )
    lines.append(f"of {DRY} random settings {possible} are possible" + (f"; such as: {errors[0]}" if errors else ""))
    recipe = by_hand[next(iter(question.recipes))]
    if energies and recipe.training_j is not None:
        lines.append(
            f"energy of a training: {joules(min(energies))} to {joules(max(energies))}, of {recipe.name} "
            f"{joules(recipe.training_j)}"
        )
    else:
        lines.append("energy is not known before a trial is trained")
    return lines


def _space_text(question: Question) -> dict[str, str]:
    found = {}
    for key, parameter in question.search.space.items():
        if parameter.choice is not None:
            found[key] = ", ".join(map(str, parameter.choice))
        else:
            low, high = parameter.ends
            found[key] = f"{low} to {high}" + (", logarithmic" if parameter.log else "")
    return found

"""Whether a run's folder still says what its newest checkpoint was trained with; what may change, and who says so."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from imctrain.data import Dataset
from imctrain.errors import UserError
from imctrain.experiment.identity import (
    CALIBRATION,
    FIXED,
    Difference,
    config_differences,
    differences,
    environment_differences,
    within,
)
from imctrain.records.identity import DATA, Identity
from imctrain.records.layout import RunFiles
from imctrain.records.result import Change, Result
from imctrain.settings import Config, known_keys, load_kept_config
from imctrain.training.checkpoint import newest
from imctrain.training.stored import Stored

OPTION = "--accept-changes"


def about_run(
    folder: Path, config: Config, now: Identity, accept: Sequence[str], say: Callable[[str], None]
) -> Identity:
    """What the next checkpoints of a run carry: its `identity` now, and what has changed on the way here.

    Args:
        folder: of the run. now: its `identity`.
        accept: keys, or tables of keys, that may differ from the newest checkpoint.
        say: told what a person should know, such as that a checkpoint is damaged.

    Raises UserError for a difference that is not accepted, with both values of every one.
    """
    check_keys(accept)
    stored = newest(RunFiles(folder).checkpoints, say)
    if stored is None:
        return now.replace(changed=[])
    if stored.about is None:
        say(
            f"the checkpoint of step {stored.step} is of a version of imctrain that wrote no config into it: whether "
            "config, calibration and data are still what it was trained with cannot be checked"
        )
        return now.replace(changed=[])
    before = _identity_of(stored)
    found = differences(before, now)
    _refuse(found, accept, f"{folder} does not say what its checkpoint of step {stored.step} was trained with", folder)
    _check_steps(folder, config, now, before, stored.step, found)
    others = environment_differences(before, now)
    if others:
        told = ", ".join(map(str, others))
        say(f"from step {stored.step} on another environment ({told}): the last bits of the results may differ by it")
    if found:
        say(f"changed from step {stored.step} on: {', '.join(map(str, found))}")
    entries = [entry(difference, stored.step) for difference in (*found, *others)]
    return now.replace(changed=[*before.changed, *entries])


def finished_with(
    folder: Path, result: Result, config: Config, dataset: Dataset, accept: Sequence[str]
) -> list[Change]:
    """How a finished training in `folder` differs from `config` and `dataset`.

    Raises UserError for a difference that is not accepted.
    """
    before = load_kept_config(RunFiles(folder).config).model_dump(mode="json")
    found = list(config_differences(before, config.model_dump(mode="json")))
    content = result.dataset_content or dataset.content
    if content != dataset.content:
        found.append(Difference(DATA, f"SHA-256 {content[:12]}", f"SHA-256 {dataset.content[:12]}"))
    _refuse(found, accept, f"{folder} was trained with other settings", folder, finished=True)
    return [entry(difference, result.steps) for difference in found]


def require_same(folder: Path, stored: Stored, now: Identity) -> None:
    """Raise UserError where a checkpoint is not of what the folder says. A checkpoint without an identity passes."""
    found = differences(_identity_of(stored), now) if stored.about is not None else []
    if found:
        raise UserError(
            f"{folder} does not say what its checkpoint of step {stored.step} was trained with: "
            f"{', '.join(map(str, found))}: put back what it was, or take another checkpoint"
        )


def _identity_of(stored: Stored) -> Identity:
    try:
        return Identity.model_validate(stored.about)
    except ValidationError:
        raise UserError(
            f"the checkpoint of step {stored.step} in {stored.folder} does not say what it was trained with: restore it"
        ) from None


def check_keys(accept: Iterable[str]) -> None:
    """Raise UserError for a key that nothing is called by: a misspelt one would accept nothing."""
    known = [*known_keys(), CALIBRATION, DATA]
    for key in accept:
        plain = ".".join(part for part in key.split(".") if not part.isdigit())
        if not any(within(name, [plain]) or within(plain, [name]) for name in known):
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise UserError(f"{OPTION} {key}: there is no such key; the nearest is {nearest}")


def entry(difference: Difference, step: int | None) -> Change:
    """As results and checkpoints list it."""
    return Change(key=difference.key, before=difference.before, now=difference.now, step=step)


def _refuse(found: list[Difference], accept: Sequence[str], what: str, folder: Path, *, finished: bool = False) -> None:
    refused = [difference for difference in found if not within(difference.key, list(accept))]
    fixed = [] if finished else [difference for difference in found if within(difference.key, FIXED)]
    shown = [difference for difference in found if difference in fixed or difference in refused]
    if not shown:
        return
    told = f"{what}: {', '.join(map(str, shown))}: put back what it was"
    if finished:
        told += f", delete {folder} to train it again"
    if fixed:
        keys = ", ".join(difference.key for difference in fixed)
        raise UserError(f"{told}, or start a new run: {keys} cannot change within one")
    keys = ",".join(dict.fromkeys(_option_key(difference.key) for difference in found))
    rest = "keep it as it is" if finished else "go on with what the folder says now"
    raise UserError(f"{told}, or {rest} with {OPTION} {keys} (result.json will list it)")


def _option_key(key: str) -> str:
    return CALIBRATION if within(key, [CALIBRATION]) else key


def _check_steps(
    folder: Path, config: Config, now: Identity, before: Identity, done: int, found: list[Difference]
) -> None:
    """Steps that were done must mean the same, and must not be all there are."""
    steps = now.data.steps_per_epoch
    if before.data.steps_per_epoch != steps:
        raise UserError(
            f"an epoch of {folder} has {steps} steps now and had {before.data.steps_per_epoch} at its "
            f"checkpoint of step {done}: data of another size cannot be taken within a run: start a new one"
        )
    total = config.training.total_steps(steps)
    if found and done >= total:
        raise UserError(
            f"{folder} has {done} steps behind it, and its config wants {total} now: give more in "
            "training.epochs, or start a new run"
        )

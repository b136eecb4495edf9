"""What was chosen, measured on the test images: once, as trials of a sweep of their own.

Such a trial is the same training with `data.test_at_end`. Where the checkpoint of the one that was chosen is there, the
trial begins with it, and only the test images are left to do.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from imctrain.files import write_text
from imctrain.records.layout import RunFiles
from imctrain.settings import dump_toml, load_kept_config
from imctrain.sweep.base import marks_of
from imctrain.sweep.search.candidates import TESTED, Candidate, Candidates
from imctrain.sweep.trial import Trial


def plan_tested(candidates: Candidates, chosen: Sequence[Candidate]) -> list[Candidate]:
    """The same candidates with the test images at their end, planned; begun from the checkpoints that are there."""
    question, folder = candidates.question, candidates.folder
    found = []
    for candidate in chosen:
        trials = [_tested(trial) for trial in candidate.trials]
        spec = question.sweep.model_copy(update={"name": question.sweep.name + TESTED})
        keys = folder.add(spec.name, trials, question.config_dir, marks_of(spec, trials))
        for before, key in zip(candidate.keys, keys, strict=True):
            _hand_over(folder.trial(before), folder.trial(key))
        found.append(Candidate(**{**vars(candidate), "trials": tuple(trials), "keys": tuple(keys)}))
    return found


def _tested(trial: Trial) -> Trial:
    data = trial.config.data.replace(test_at_end=True)
    return Trial(trial.config.replace(data=data), trial.reference, trial.variant, trial.axes)


def _hand_over(before: RunFiles, after: RunFiles) -> None:
    """Begin a run with all of another, finished one but its result."""
    if after.is_run or not (before.is_finished and before.checkpoints.is_dir()):
        return
    partly = after.folder.with_name(f".{after.folder.name}")
    shutil.rmtree(partly, ignore_errors=True)
    left_out = shutil.ignore_patterns(
        before.result.name, *(file.name for file in before.learning_curves), before.lock.name, before.log.name
    )
    shutil.copytree(before.folder, partly, ignore=left_out)
    config = load_kept_config(before.config)
    write_text(RunFiles(partly).config, dump_toml(config.replace(data=config.data.replace(test_at_end=True))))
    if after.folder.is_dir():
        # Left by a pool that had opened its log.
        shutil.rmtree(after.folder)
    partly.rename(after.folder)

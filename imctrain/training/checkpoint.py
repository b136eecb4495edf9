"""Checkpoints of a run: orbax, atomic; the newest and the best are kept; a damaged one is known as such (`damage`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import PyTree

from imctrain.errors import UserError
from imctrain.training.damage import SUMS, Damaged, check_sums, number_of, reason, set_aside, write_sums
from imctrain.training.stored import JsonObject, Stored, flat

_ABOUT = "about"
"""Beside the position: what the run was when the checkpoint was written. Written by all versions that write `SUMS`."""


class Checkpoints:
    """Checkpoints of one run in one folder: the newest `keep`, and the one of best test accuracy.

    A state is stored as a flat dictionary from the path of each leaf to its value, so that a checkpoint can be read
    without the classes that made it.

    Attributes:
        folder: of the run's checkpoints.
    """

    def __init__(self, folder: Path, keep: int = 2):
        import orbax.checkpoint as ocp
        from orbax.checkpoint import checkpoint_managers as policies

        # Errors are raised as well as logged: the logs would only add tracebacks.
        for name in ("absl", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._ocp = ocp

        def accuracy(metrics: JsonObject) -> float:
            return float(metrics["test_accuracy"])

        best = policies.BestN(get_metric_fn=accuracy, n=1, keep_checkpoints_without_metrics=False)
        preserved = policies.AnyPreservationPolicy([policies.LatestN(keep), best])
        # Without `best_fn` orbax writes no metrics: a run that is continued would not know its best checkpoint.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=preserved, best_fn=accuracy, enable_async_checkpointing=False
        )
        self.folder = folder
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    @property
    def steps(self) -> list[int]:
        """Steps taken at every checkpoint there is, in order."""
        return sorted(self._manager.all_steps())

    @property
    def latest(self) -> int | None:
        """Steps taken at the newest checkpoint."""
        return self._manager.latest_step()

    def save(
        self,
        step: int,
        state: PyTree,
        position: JsonObject,
        test_accuracy: float | None,
        about: JsonObject | None = None,
    ) -> None:
        """Store the state after `step` steps; a step that is stored already is left alone.

        Args:
            position: where training is (epoch, sums of the epoch so far ...), plain JSON values.
            test_accuracy: of this very state, for keeping the best; None where it was not evaluated.
            about: what run this is, plain JSON values, for whoever continues it.

        Raises:
            OSError: it cannot be written. Earlier checkpoints are as they were.
        """
        if step in self._manager.all_steps():
            return
        args = self._ocp.args
        stored = position | {_ABOUT: about or {}}
        items = args.Composite(state=args.StandardSave(flat(state)), position=args.JsonSave(stored))
        metrics = None if test_accuracy is None else {"test_accuracy": test_accuracy}
        try:
            self._manager.save(step, args=items, metrics=metrics)
            self._manager.wait_until_finished()
            write_sums(self.folder / str(step))
        except Exception as error:
            raise OSError(
                number_of(error),
                f"checkpoint of step {step} cannot be written ({reason(error)})",
                str(self.folder),
            ) from error

    def newest(self) -> Stored | None:
        """The newest checkpoint that can be read; None where there is no checkpoint at all.

        Raises UserError where there are checkpoints and none can be read.
        """
        damaged: dict[int, str] = {}
        for step in reversed(self.steps):
            try:
                found = self.read(step)
            except Damaged as error:
                damaged[step] = str(error)
                continue
            return replace(found, damaged=damaged)
        if damaged:
            told = "; ".join(f"step {step}: {why}" for step, why in damaged.items())
            raise UserError(
                f"no checkpoint in {self.folder} can be read ({told}): restore the folder from a copy, or start a new "
                "run"
            )
        return None

    def read(self, step: int) -> Stored:
        """The checkpoint after `step` steps. Raises Damaged."""
        folder = self.folder / str(step)
        if not any(path.is_file() for path in folder.rglob("*")):
            raise Damaged("it is empty")
        listed = (folder / SUMS).is_file()
        if listed:
            check_sums(folder)
        args = self._ocp.args
        try:
            # The small part first: where orbax fails at arrays, threads of tensorstore may complain on stderr.
            small = self._manager.restore(step, args=args.Composite(position=args.JsonRestore()))
            stored = dict(small.position)
            if not listed and _ABOUT in stored:
                raise Damaged(f"{SUMS} is missing: it was not written to its end")
            found = self._manager.restore(step, args=args.Composite(state=args.StandardRestore()))
            arrays = {name: np.asarray(value) for name, value in dict(found.state).items()}
        except Damaged:
            raise
        except Exception as error:
            raise Damaged(reason(error)) from error
        about = stored.pop(_ABOUT, None)
        return Stored(self.folder, step, arrays, stored, about or None, {})

    def set_aside(self, steps: list[int]) -> None:
        """Rename damaged checkpoints, so that training may save the same steps again."""
        for step in steps:
            set_aside(self.folder, step)
        if steps:
            self._manager.reload()

    def whole(self, step: int) -> Stored:
        """`read` for a step that was asked for: raises UserError where it is damaged."""
        try:
            return self.read(step)
        except Damaged as error:
            raise UserError(
                f"checkpoint {step} in {self.folder} is damaged ({error}): take another one, or train again"
            ) from error

    def restore(self, template: PyTree, step: int | None = None) -> tuple[PyTree, JsonObject]:
        """(state, position) of the checkpoint after `step` steps (the newest by default).

        Raises UserError for a checkpoint that is damaged, or not of such a state.
        """
        step = self.latest if step is None else step
        assert step is not None, "there is no checkpoint"
        stored = self.whole(step)
        return stored.fit(template), stored.position

    def close(self) -> None:
        self._manager.close()


def newest(folder: Path, say: Callable[[str], None] = lambda text: None) -> Stored | None:
    """`Checkpoints.newest` of a run's folder of checkpoints that may not be there; says what is damaged."""
    if not folder.is_dir():
        return None
    checkpoints = Checkpoints(folder)
    try:
        found = checkpoints.newest()
    finally:
        checkpoints.close()
    if found is not None:
        for step, why in found.damaged.items():
            say(
                f"the checkpoint of step {step} is damaged ({why}): going on from step {found.step} in its place, "
                f"{step - found.step} steps are trained again"
            )
    return found

"""Checkpoints of a run: orbax, atomic; the newest and the best are kept."""

from __future__ import annotations

import errno
import logging
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np

from imctrain.errors import UserError


class Checkpoints:
    """Checkpoints of one run in one folder: the newest `keep`, and the one of best test accuracy.

    A state is stored as a flat dictionary from the path of each leaf to its value, so that a checkpoint can be read
    without the classes that made it.
    """

    def __init__(self, folder: Path, keep: int = 2):
        import orbax.checkpoint as ocp
        from orbax.checkpoint import checkpoint_managers as policies

        # Errors are raised as well as logged: the log would only add a traceback.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self._ocp = ocp
        preserved = policies.AnyPreservationPolicy(
            [
                policies.LatestN(keep),
                policies.BestN(
                    get_metric_fn=lambda metrics: metrics["test_accuracy"], n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(preservation_policy=preserved, enable_async_checkpointing=False)
        self._folder = folder
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    @property
    def steps(self) -> list[int]:
        """Steps taken at every checkpoint there is, in order."""
        return sorted(self._manager.all_steps())

    @property
    def latest(self) -> int | None:
        """Steps taken at the newest checkpoint."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, position: dict[str, Any], test_accuracy: float | None) -> None:
        """Store the state after `step` steps; a step that is stored already is left alone.

        Args:
            position: where training is (epoch, sums of the epoch so far ...), plain JSON values.
            test_accuracy: of this very state, for keeping the best; None where it was not evaluated.

        Raises:
            OSError: it cannot be written. Earlier checkpoints are as they were.
        """
        if step in self._manager.all_steps():
            return
        args = self._ocp.args
        items = args.Composite(state=args.StandardSave(_flat(state)), position=args.JsonSave(position))
        metrics = None if test_accuracy is None else {"test_accuracy": test_accuracy}
        try:
            self._manager.save(step, args=items, metrics=metrics)
            self._manager.wait_until_finished()
        except Exception as error:
            raise OSError(
                getattr(error, "errno", None) or errno.EIO,
                f"checkpoint of step {step} cannot be written ({_reason(error)})",
                str(self._folder),
            ) from error

    def restore(self, template: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """(state, position) of the checkpoint after `step` steps (the newest by default).

        `template` gives structure, shapes and dtypes.

        Raises UserError for a checkpoint that is not of such a state.
        """
        args = self._ocp.args
        step = self.latest if step is None else step
        found = self._manager.restore(
            step, args=args.Composite(state=args.StandardRestore(), position=args.JsonRestore())
        )
        # Given the template, orbax would cut or pad arrays of other shapes.
        leaves = []
        for name, expected in _flat(template).items():
            leaf = found.state.get(name)
            if leaf is None or leaf.shape != expected.shape or leaf.dtype != expected.dtype:
                stored = "nothing" if leaf is None else f"{leaf.dtype} {leaf.shape}"
                raise UserError(
                    f"checkpoint {step} in {self._folder} does not fit this run: {name} is {stored}, expected "
                    f"{expected.dtype} {expected.shape}; start a new run"
                )
            leaves.append(np.asarray(leaf))
        return jax.tree.unflatten(jax.tree.structure(template), leaves), dict(found.position)

    def close(self) -> None:
        self._manager.close()


def _reason(error: Exception) -> str:
    """An OSError's own words, or those that tensorstore has from the system, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    found = re.search(r"OS error \d+: ([^\]]*)", text)
    return found[1] if found else f"{type(error).__name__}: {text[:200]}"


def _flat(tree: Any) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}

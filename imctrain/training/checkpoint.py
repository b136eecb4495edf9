"""Checkpoints of a run: orbax, atomic; the last two and the best are kept."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np

from imctrain.errors import UserError


class Checkpoints:
    """Checkpoints of one run in one folder.

    A state is stored as a flat dictionary from the path of each leaf to its value, so that a checkpoint can be read
    without the classes that made it.
    """

    def __init__(self, folder: Path):
        import orbax.checkpoint as ocp
        from orbax.checkpoint import checkpoint_managers as policies

        logging.getLogger("absl").setLevel(logging.ERROR)
        self._ocp = ocp
        keep = policies.AnyPreservationPolicy(
            [policies.LatestN(2), policies.BestN(get_metric_fn=lambda metrics: metrics["test_accuracy"], n=1)]
        )
        options = ocp.CheckpointManagerOptions(preservation_policy=keep, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    @property
    def latest(self) -> int | None:
        """Steps taken at the newest checkpoint."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, position: dict[str, Any], test_accuracy: float) -> None:
        """Store the state after `step` steps; a step that is stored already is left alone.

        Args:
            position: where training is (epoch, sums of the epoch so far ...), plain JSON values.
            test_accuracy: of the newest evaluation, for keeping the best.
        """
        if step in self._manager.all_steps():
            return
        args = self._ocp.args
        items = args.Composite(state=args.StandardSave(_flat(state)), position=args.JsonSave(position))
        self._manager.save(step, args=items, metrics={"test_accuracy": test_accuracy})
        self._manager.wait_until_finished()

    def restore(self, template: Any) -> tuple[Any, dict[str, Any]]:
        """(state, position) of the newest checkpoint; `template` gives structure, shapes and dtypes."""
        args = self._ocp.args
        flat = _flat(template)
        try:
            found = self._manager.restore(
                self.latest, args=args.Composite(state=args.StandardRestore(flat), position=args.JsonRestore())
            )
        except (ValueError, KeyError, FileNotFoundError) as error:
            raise UserError(f"checkpoint {self.latest} does not fit this run ({error}): start a new run") from None
        leaves = [found.state[name] for name in flat]
        return jax.tree.unflatten(jax.tree.structure(template), leaves), dict(found.position)

    def close(self) -> None:
        self._manager.close()


def _flat(tree: Any) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}

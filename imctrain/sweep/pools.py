"""The pool of a name: each is imported only where it is used."""

from __future__ import annotations

from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.train import Executor


def pool_of(
    folder: SweepFolder, name: str, jobs: int | None = None, keep_checkpoints: bool = False, address: str | None = None
) -> Executor:
    """Trains the trials of a folder.

    Args:
        name: "local" or "ray". jobs: trials at a time. keep_checkpoints: of finished trials.
        address: of a running Ray cluster.

    Raises UserError where Ray is not installed, or not there.
    """
    if name == "ray":
        from imctrain.sweep.ray_pool import RayPool

        return RayPool(folder, jobs, keep_checkpoints, address)
    from imctrain.sweep.local_pool import LocalPool

    return LocalPool(folder, jobs, keep_checkpoints)

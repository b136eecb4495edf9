"""Keep a trained network in one small file: `python experiments/cifar10/keep_network.py RUN OUT.npz`.

The newest checkpoint of a run without its optimizer: parameters and batch statistics (float32, by path), and the sites'
ranges, scales and learned clips, which an evaluation on the array needs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def network_of(run: Path) -> dict[str, np.ndarray]:
    """{path of a leaf: value} of a run's newest checkpoint, and the run's result as JSON under "result"."""
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager((run / "checkpoints").absolute()) as manager:
        found: Any = manager.restore(manager.latest_step(), args=ocp.args.Composite(state=ocp.args.StandardRestore()))
    kept = {
        name: np.asarray(value)
        for name, value in found.state.items()
        if name.partition("/")[0] in ("params", "rest", "sites") and "/telemetry/" not in name
    }
    kept["result"] = np.asarray(json.dumps(json.loads((run / "result.json").read_text(encoding="utf-8"))))
    return kept


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    run, out = map(Path, sys.argv[1:])
    kept = network_of(run)
    np.savez_compressed(out, **kept)  # type: ignore[arg-type]
    numbers = sum(value.size for value in kept.values())
    print(f"{out}: {len(kept)} arrays, {numbers:,} numbers, {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

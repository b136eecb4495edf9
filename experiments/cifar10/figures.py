"""Draw every figure and table of docs/reproduction.md again, from the kept results alone: `make figures`."""

from __future__ import annotations

import time
from pathlib import Path

from imctrain.files import write_json
from imctrain.records.runs import gather
from imctrain.records.sweeps import find_sweep
from imctrain.report.claims import summarise
from imctrain.report.mapping_figure import draw_mapping_snr
from imctrain.report.pareto_results import choose, front_of, write_pareto
from imctrain.report.sweep_results import write_results
from imctrain.studies.energy import KeptEnergy

RESULTS = Path(__file__).parent / "results"
SWEEPS = RESULTS / "reproduction"
FRONT = RESULTS / "pareto"
FULL_LENGTH = ("claims", "noise", "within2")
"""Sweeps on one front: resnet6, 9 epochs of all training images."""
MAPPING = RESULTS / "mapping-snr"


def main() -> None:
    began = time.monotonic()
    pricing = KeptEnergy()
    for line in write_results(SWEEPS, pricing):
        print(line)
    records = gather(SWEEPS)
    for sweep, file in (("claims", "summary.json"), ("claims-85", "claims-85-summary.json")):
        if find_sweep(records, sweep, SWEEPS) is not None:
            write_json(SWEEPS / file, summarise(records, sweep, root=SWEEPS))
    whole = choose([SWEEPS], FULL_LENGTH)
    write_pareto(front_of(whole, pricing), FRONT, whole.title)
    for suffix in ("png", "svg"):
        draw_mapping_snr(MAPPING / "mapping_snr.json", MAPPING / f"mapping_snr.{suffix}")
    print(f"all figures in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()

"""Closed loop of `imctrain chip sample` and `imctrain calibrate`: how exact, how fast, how much memory.

Writes CALIBRATION.md and calibration.jsonl beside this file. Both commands run as a user runs them; memory is the
largest resident set of the calibrating process. `python benchmarks/calibration.py 2000000 50000000` sets the two sizes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from imctrain.calibration import Calibration, load_calibration, parse_calibration, save_calibration

HERE = Path(__file__).parent
SIGMAS = (0.15, 0.25, 0.5, 1.0, 2.0, 3.0)


def known_chip(sigma: float, path: Path) -> Calibration:
    """256 listed columns with 1 % gain spread, 0.7 LSB offset spread, and the INL of the shipped macro."""
    rng = np.random.default_rng(7)
    gains, offsets = 1 + 0.01 * rng.standard_normal(256), 0.7 * rng.standard_normal(256)
    columns = [
        {"column": c, "gain": float(g), "offset_lsb": float(o), "sigma_lsb": sigma, "n": 0}
        for c, (g, o) in enumerate(zip(gains, offsets, strict=True))
    ]
    base = load_calibration("vlsi21-28nm-assumed").model_dump(mode="json", exclude_none=True)
    noise = {"sigma_lsb": {"value": sigma, "low": sigma, "high": sigma}}
    chip = parse_calibration(base | {"name": f"sigma-{sigma:g}", "columns": columns, "noise": noise}, "known chip")
    save_calibration(chip, path)
    return chip


def run(*arguments: str | Path) -> tuple[float, int]:
    """Seconds and peak bytes of `imctrain ARGUMENTS`."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "imctrain.cli", *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"imctrain {' '.join(map(str, arguments))} failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def closed_loop(sigma: float, rows: int, folder: Path, *extra: str) -> dict[str, Any]:
    """Sample a known chip, calibrate, and compare."""
    chip = known_chip(sigma, folder / "chip.json")
    measured, fitted = folder / "measured.csv", folder / "fitted.json"
    run("chip", "sample", "--calibration", folder / "chip.json", "--out", measured, "--conversions", str(rows))
    seconds, peak = run("calibrate", measured, "--out", fitted, *extra)
    megabytes = measured.stat().st_size / 1e6
    measured.unlink()
    got = json.loads(fitted.read_text(encoding="utf-8"))
    gain = np.array([c["gain"] for c in got["columns"]]) - np.array([c.gain for c in chip.columns])
    offset = np.array([c["offset_lsb"] for c in got["columns"]]) - np.array([c.offset_lsb for c in chip.columns])
    return {
        "sigma_lsb": sigma,
        "rows": rows,
        "megabytes": round(megabytes, 1),
        "seconds": round(seconds, 2),
        "peak_bytes": peak,
        "sigma_error": got["noise"]["sigma_lsb"]["value"] / sigma - 1,
        "gain_rms": float(np.sqrt(np.mean(gain**2))),
        "gain_worst": float(np.abs(gain).max()),
        "offset_rms_lsb": float(np.sqrt(np.mean(offset**2))),
        "offset_worst_lsb": float(np.abs(offset).max()),
    }


def main(rows: int = 2_000_000, many: int = 50_000_000) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = [closed_loop(sigma, rows, folder) for sigma in SIGMAS]
        results.append(closed_loop(1.0, many, folder, "--plot"))
    (HERE / "calibration.jsonl").write_text("".join(json.dumps(r) + "\n" for r in results), encoding="utf-8")
    lines = [
        "# Calibration, closed loop",
        "",
        "Written by `python benchmarks/calibration.py`; numbers in calibration.jsonl. Known virtual chips of 256",
        "columns (1 % gain spread, 0.7 LSB offset spread, the shipped macro's INL), sampled to CSV at one range and",
        f"calibrated as a user does, on {os.cpu_count()} cores. The last row includes the datasheet.",
        "",
        "| sigma (LSB) | rows | error of sigma | gain, rms (worst column) "
        "| offset, LSB, rms (worst) | seconds | peak |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['sigma_lsb']:g} | {r['rows'] / 1e6:g} M | {100 * r['sigma_error']:+.2f} % | {100 * r['gain_rms']:.3f} % "
        f"({100 * r['gain_worst']:.3f} %) | {r['offset_rms_lsb']:.3f} ({r['offset_worst_lsb']:.3f}) | "
        f"{r['seconds']:.1f} | {r['peak_bytes'] / 2**30:.2f} GiB |"
        for r in results
    ]
    (HERE / "CALIBRATION.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

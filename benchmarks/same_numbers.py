"""Show that two checkouts of imctrain compute the same numbers: `python benchmarks/same_numbers.py OLD NEW`.

Both do the same work, each in processes of its own, through the command line, the config files and the files that runs
write: what both revisions have, however different they are inside. A table tells of every item whether its results are
equal bit for bit, else how far apart they are. Exit code: 0 if all are equal, else 1.

    python benchmarks/same_numbers.py OLD NEW --list                     what there is to compare
    python benchmarks/same_numbers.py OLD NEW --only quickstart,resnet6  items whose names begin so
    python benchmarks/same_numbers.py OLD NEW --work DIR                 keep all results in DIR
    python benchmarks/same_numbers.py OLD NEW --allow 1e-6               floats may differ by so much (relative)

Give --work while a rebuild goes on. What a checkout has done in DIR is then not done again as long as neither its code
nor the item has changed, so that OLD runs once. Compiled steps are kept in DIR as well, for each side its own: OLD and
NEW share none. Without --work all is done anew in a temporary folder.

Give checkouts that stay as they are: an item during which the code of its checkout changes fails.

Every process gets the same one core (`--cores` for more) and as many threads. The results of one checkout against
itself are equal that way, in two processes with steps compiled twice.

A tolerance is for items of one step and for inspect. Rounding turns a last bit that differs into another code, so that
over 40 steps even a change of 1e-7 ends in another network.

What is compared, what is left out, and what a tolerance means: see differences.py.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

from checkouts import environment, require
from differences import Differences, compare_folders

LIBRARIES = ("jax", "jaxlib", "numpy", "scipy")
QUICKSTART = "experiments/quickstart.toml"
PATHS = ("digital", "exact", "statistical", "auto")
RUN = ("metrics.jsonl", "result.json", "config.toml", "ledger.json", "calibration.json", "checkpoints")
"""What a run's folder holds beside figures, and environment.json, which is of dates, versions and devices alone."""
SHOWN = 8
"""Differences of an item that are listed."""
CLEAR = "\r\x1b[K"
"""Empties a terminal's line."""

CONFIG = """
name = "same"
seed = 1
tensorboard = false
data = {{ name = "digits", batch_size = 16, eval_batch_size = 180, train_limit = 320, test_limit = 180 }}
model = {{ name = "{model}", width = {width} }}
training.steps = {steps}
training.epochs = 2
training.log_every = 1
training.learning_rate = 0.03
training.schedule = "constant"
training.optimizer = "{optimizer}"
imc.path = "{path}"
{imc}
"""
"""The schedule is constant so that the step is the same program whatever the number of steps: it is compiled once."""

STATISTICAL = """
imc.noise.sigma_lsb = 1.0
imc.adc = { range_policy = "fixed", round_to_integers = false }
"""
"""What lets every site take the statistical path, at whatever width."""
SETTINGS = {
    "serial": """
imc.calibration = "vlsi21-28nm-assumed"
imc.mapping = { gradient = "bit_serial", activation = "digit_serial" }
imc.adc = { range_policy = "two_level", full_scale_on_last_code = true, round_to_integers = false }
imc.formats = { weight_clip = "max", activation_clip = "max", gradient_rounding = "two_phase" }
imc.array = { input_bits = 3, replicate = false }
""",
    "grouped": """
imc.mapping = { gradient = "grouped" }
imc.adc = { range_policy = "fixed", range = 0.5, offset_conversions = 16 }
imc.formats = { weight_clip = "sawb", activation_clip = "rms", gradient_rounding = "nearest", gradient_clip = 8.0 }
imc.array = { chop = true, segment_rows = 64, rows = 64, columns = 32 }
imc.chip_seed = 3
""",
    "unsigned": """
imc.mapping = { gradient_samples = 2, planes = 6, full_drive = true, passes = 4 }
imc.formats = { activation_clip = "pact", gradient_scale = "carried", preserve_sums = true }
imc.array = { drive = "unsigned", cell = "xnor" }
imc.noise = { sigma_lsb = 0.6, mismatch = false }
""",
    "rules": """
imc.mvms = ["forward", "weight_grad"]
imc.formats = { noise_aware = true, weight_clip_scale = 1.1 }
imc.noise = { scale = 2.0 }
[[imc.rules]]
match = "head"
path = "digital"
[[imc.rules]]
match = "layer1"
overrides.adc.bits = 6
""",
}
"""Settings beside the defaults, each in one of these: an exact step of a small network takes every branch of them."""


@dataclass(frozen=True)
class Command:
    """`imctrain ARGUMENTS`; its output to a file, and a file of the old revision that the new one goes on with."""

    arguments: tuple[str, ...]
    output: str = ""
    hand_over: str = ""


@dataclass(frozen=True)
class Item:
    """Work that both revisions do in a folder of their own, and the files of it that are compared.

    Attributes:
        what: in words. files: content by name, written first. own: files of the checkout that are copied first.
    """

    name: str
    what: str
    commands: tuple[Command, ...]
    compared: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()


def items(epochs: int) -> list[Item]:
    """All items, the quick ones first."""
    rows = ("--conversions", "20000", "--columns", "16", "--range", "1", "--range", "0.25", "--seed", "3")
    sample = Command(
        ("chip", "sample", "--calibration", "vlsi21-28nm-assumed", "--out", "chip.csv", *rows), hand_over="chip.csv"
    )
    fit = Command(("calibrate", "chip.csv", "--out", "fitted.json", "--bootstrap", "20"))
    quick = Command(("run", "--config", "quickstart.toml", "--set", f"training.epochs={epochs}", "--out", "run"))
    return [
        Item(
            "calibrate",
            "chip sample, then calibrate of the same CSV",
            (sample, fit),
            ("drawn-chip.csv", "fitted.json"),
        ),
        Item(
            "quickstart",
            f"quickstart with its baseline, {epochs} epochs",
            (quick,),
            (*_run("run"), *(f"run/baseline/{name}" for name in ("metrics.jsonl", "result.json", "checkpoints"))),
            own=(QUICKSTART,),
        ),
        _sweep(),
        Item(
            "inspect-quickstart",
            "inspect --json of the quickstart",
            (_inspect("quickstart.toml"),),
            ("inspect.json",),
            own=(QUICKSTART,),
        ),
        *(
            _training(f"settings-{name}", "mlp", 16, "exact", 3, imc=imc, optimizer="adam")
            for name, imc in SETTINGS.items()
        ),
        *(_training(f"resnet6-{path}-{steps}", "resnet6", 8, path, steps) for path in PATHS for steps in (1, 40)),
        _inspection("resnet6", 8, "auto"),
        *(_training(f"vit-{path}", "vit", 32, path, 1) for path in PATHS),
        _inspection("vit", 32, "exact"),
        *(_training(f"resnet20-{path}", "resnet20", 8, path, 1) for path in PATHS),
    ]


def _config(model: str, width: int, path: str, steps: int, imc: str = "", optimizer: str = "sgd") -> dict[str, str]:
    return {
        "config.toml": CONFIG.format(model=model, width=width, path=path, steps=steps, imc=imc, optimizer=optimizer)
    }


def _training(name: str, model: str, width: int, path: str, steps: int, imc: str = "", optimizer: str = "sgd") -> Item:
    if path == "statistical":
        imc += STATISTICAL
    return Item(
        name,
        f"{model} ({path}), {steps} step{'s' if steps > 1 else ''}",
        (Command(("run", "--config", "config.toml", "--out", "run")),),
        _run("run"),
        _config(model, width, path, steps, imc, optimizer),
    )


def _inspection(model: str, width: int, path: str) -> Item:
    return Item(
        f"inspect-{model}",
        f"inspect --json of {model} ({path})",
        (_inspect("config.toml"),),
        ("inspect.json",),
        _config(model, width, path, 1),
    )


def _inspect(config: str) -> Command:
    return Command(("inspect", "--config", config, "--json"), output="inspect.json")


def _sweep() -> Item:
    axis = ("--axis", "imc.mapping.gradient=balanced,grouped", "--references", "none", "--seeds", "1")
    command = Command(("sweep", "grid", "--config", "config.toml", *axis, "--jobs", "1", "--out", "sweep"))
    return Item(
        "sweep",
        "sweep of two mappings, one seed: keys of trials, results",
        (command,),
        ("sweep/plan/*.json", *_run("sweep/trials/*")[:-1], "sweep/results/grid.csv", "sweep/results/grid.json"),
        _config("mlp", 16, "exact", 40),
    )


def _run(folder: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in RUN)


@dataclass(frozen=True)
class Side:
    """One of the two checkouts, and where its work is done."""

    name: str
    checkout: Path
    work: Path
    cores: int

    def environment(self) -> dict[str, str]:
        """The same for both sides, but for the checkout and the compiled steps, which are not shared."""
        threads = {name: str(self.cores) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        cache = str(self.work / "compiled")
        return environment(self.checkout, IMCTRAIN_CACHE_DIR=cache, PYTHONHASHSEED="0", COLUMNS="200", **threads)

    def revision(self) -> str:
        """A hash of all that results may depend on: code, shipped files, libraries, cores."""
        digest = hashlib.sha256()
        for folder, pattern in (("imctrain", "*.py"), ("calibration", "*.json"), ("experiments", "quickstart.toml")):
            for path in sorted((self.checkout / folder).rglob(pattern)):
                digest.update(path.relative_to(self.checkout).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        versions = [sys.version, self.cores, os.environ.get("XLA_FLAGS"), os.environ.get("JAX_PLATFORMS")]
        digest.update(json.dumps([*versions, *map(metadata.version, LIBRARIES)]).encode())
        return digest.hexdigest()


class Failed(Exception):
    """A command of an item did not succeed."""


def work(item: Item, side: Side, other: Side, tick: Callable[[str], None]) -> float:
    """Do an item's work, unless it is done; returns the CPU seconds it took. Raises Failed."""
    revision = side.revision()
    folder = side.work / item.name
    marker = folder / "done.json"
    about = {"revision": revision, "item": json.loads(json.dumps(asdict(item)))}
    handed = [(command, other.work / item.name / command.hand_over) for command in item.commands if command.hand_over]
    if side.name == "new":
        about["handed"] = [hashlib.sha256(path.read_bytes()).hexdigest() for _, path in handed]
    if marker.is_file():
        done = json.loads(marker.read_text(encoding="utf-8"))
        if done["about"] == about:
            return done["seconds"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in item.files.items():
        (folder / name).write_text(content, encoding="utf-8")
    for name in item.own:
        shutil.copy(side.checkout / name, folder)
    started, before = time.monotonic(), _cpu_seconds()
    for command in item.commands:
        _execute(command, side, folder, lambda: tick(f"{side.name} {time.monotonic() - started:.0f} s"))
        if command.hand_over:
            mine = folder / command.hand_over
            shutil.copy(mine, mine.with_name(f"drawn-{mine.name}"))
            if side.name == "new":
                shutil.copy(other.work / item.name / command.hand_over, mine)
    seconds = _cpu_seconds() - before
    if side.revision() != revision:
        raise Failed(f"{side.name}: the checkout has changed meanwhile; give one that stays as it is")
    marker.write_text(json.dumps({"about": about, "seconds": seconds}), encoding="utf-8")
    return seconds


def _cpu_seconds() -> float:
    """Of processes that have ended. Unlike time, it tells little of what else the machine does."""
    times = os.times()
    return times.children_user + times.children_system


def _execute(command: Command, side: Side, folder: Path, tick: Callable[[], None]) -> None:
    log, out = folder / "log.txt", folder / (command.output or "stdout.txt")
    with log.open("ab") as errors, out.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "imctrain.cli", *command.arguments],
            cwd=folder,
            env=side.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        try:
            while True:
                try:
                    code = process.wait(timeout=1)
                    break
                except subprocess.TimeoutExpired:
                    tick()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if code:
        last = (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no message"])[-1]
        raise Failed(f"{side.name}: imctrain {command.arguments[0]} ended with code {code}: {last}")


def _require_own_code(side: Side) -> None:
    """An installed imctrain must not be what a process of this side imports."""
    script = "import imctrain; print(imctrain.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=side.work,
        env=side.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    if not Path(found.stdout.strip()).resolve().is_relative_to(side.checkout):
        raise SystemExit(f"{side.checkout}: Python imports {found.stdout.strip()} in its place")


class Progress:
    """Lines on stderr, and what goes on right now on the last of them where that is a terminal."""

    def __init__(self, total: int):
        self._total = total
        self._number = 0

    def begin(self, item: Item) -> None:
        self._number += 1
        self._head = f"[{self._number}/{self._total}] {item.name}"
        self.tick("...")

    def tick(self, text: str) -> None:
        if sys.stderr.isatty():
            print(f"{CLEAR}{self._head}: {text}", end="", file=sys.stderr, flush=True)

    def end(self, text: str) -> None:
        clear = CLEAR if sys.stderr.isatty() else ""
        print(f"{clear}{self._head}: {text}", file=sys.stderr, flush=True)


def verdict(found: Differences, allow: float) -> str:
    """One cell of the table."""
    if found.equal:
        return "equal bit for bit"
    if not found.differing:
        return "FAILED"
    apart = (
        f"{found.absolute:.3g} absolute, {found.relative:.3g} relative, in {found.differing:,} of {found.compared:,}"
    )
    if found.failures:
        return f"FAILED, and numbers differ: {apart}"
    return f"{'within the tolerance' if found.within(allow) else 'DIFFERENT'}: {apart}"


def _details(found: Differences) -> list[str]:
    lines = [f"first difference: {found.first}"] if found.first else []
    for title, texts in (("", found.failures), ("only in new: ", found.added)):
        lines += [f"{title}{text}" for text in texts[:SHOWN]]
        if len(texts) > SHOWN:
            lines.append(f"{title}and {len(texts) - SHOWN} more")
    return lines


def compare(chosen: list[Item], old: Side, new: Side, allow: float) -> bool:
    """Do all the work, print the table; returns whether everything is the same."""
    progress = Progress(len(chosen))
    rows, details, same = [], [], True
    for item in chosen:
        progress.begin(item)
        seconds = []
        try:
            for side, other in ((old, new), (new, old)):
                seconds.append(work(item, side, other, progress.tick))
            progress.tick("comparing")
            found = compare_folders(old.work / item.name, new.work / item.name, item.compared)
        except Failed as error:
            found = Differences(failures=[str(error)])
        same &= found.within(allow)
        text = verdict(found, allow)
        taken = ", ".join(f"{value:.0f} s" for value in seconds)
        progress.end(f"{text} (CPU {taken})")
        rows.append(f"| {item.name} | {item.what} | {text} | {found.compared:,} | {taken} |")
        lines = _details(found)
        if lines:
            details += ["", f"{item.name}:", *(f"  {line}" for line in lines)]
    print("| item | what | result | values compared | CPU of old, new |")
    print("|---|---|---|---|---|")
    print("\n".join([*rows, *details]))
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="OLD NEW")
    parser.add_argument("--only", default="", metavar="NAME,..", help="items whose names begin with one of these")
    parser.add_argument("--allow", type=float, default=0.0, metavar="X", help="largest relative difference of floats")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep results and compiled steps here")
    parser.add_argument("--epochs", type=int, default=3, help="of the quickstart")
    parser.add_argument("--cores", type=int, default=1, help="cores of every process")
    parser.add_argument("--list", action="store_true", help="list the items and end")
    arguments = parser.parse_args()
    names = tuple(name.strip() for name in arguments.only.split(",") if name.strip())
    everything = items(arguments.epochs)
    chosen = [item for item in everything if not names or item.name.startswith(names)]
    unknown = [name for name in names if not any(item.name.startswith(name) for item in everything)]
    if unknown:
        parser.error(f"no item begins with {', '.join(unknown)}: there are {', '.join(i.name for i in everything)}")
    if arguments.list:
        print("\n".join(f"{item.name:24} {item.what}" for item in chosen))
        return
    if len(arguments.checkouts) != 2:
        parser.error("give two checkouts: OLD NEW")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the process that runs, too
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    with tempfile.TemporaryDirectory(prefix="imctrain-same-") as temporary:
        home = (arguments.work or Path(temporary)).resolve()
        sides: list[Side] = []
        for name, checkout in zip(("old", "new"), arguments.checkouts, strict=True):
            (home / name).mkdir(parents=True, exist_ok=True)
            sides.append(Side(name, require(checkout), home / name, arguments.cores))
            _require_own_code(sides[-1])
        same = compare(chosen, sides[0], sides[1], arguments.allow)
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()

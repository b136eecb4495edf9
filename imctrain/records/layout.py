"""Where every file of a run's folder and of a sweep's folder lies.

RUN/config.toml        the config as resolved; with it, a folder is a run
RUN/environment.json   versions, devices, command
RUN/calibration.json   the run's own copy of its calibration, where it has one
RUN/technology.json    likewise of its technology, where the config names a file
RUN/code/model/, optimizer/  likewise of the files of own code that the config names
RUN/init.npz           the network that it started from, where it was given one
RUN/ledger.json, .md   every matmul and where it runs
RUN/metrics.jsonl      a line every few steps, and one an epoch
RUN/checkpoints/STEP/  state, position and what the run was
RUN/events/            the same numbers for TensorBoard
RUN/tracking.json      ids of this run in wandb and mlflow, where it reports to them; RUN/wandb/ is wandb's own
RUN/learning_curve.png, .pdf, .svg
RUN/result.json        last of all: with it, a run is finished
RUN/baseline/          a run folder: the same network in float
RUN/evaluate/          its trained network on other chips: evaluate.json, dies.png, dies.svg
RUN/failed.json        of a trial that could not be trained: why
RUN/pruned.json        of a trial that a search stopped: why
RUN/log.txt            of a trial: what its process printed
RUN/.lock              held by the process that trains it

SWEEP/plan/KEY.json    what was asked for (see `plans`)
SWEEP/trials/KEY/      a run folder
SWEEP/calibrations/    calibration files that configs named
SWEEP/code/            files of own code that configs named
SWEEP/results/         tables and figures; .page/: pictures of the page of `imctrain report`, kept for the next one
SWEEP/search/          studies of searches
SWEEP/trials.tar.xz    finished trials that were packed, with their plans (see `packed`)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imctrain.paths import is_file, is_folder

CHECKPOINTS = "checkpoints"
BASELINE = "baseline"
CODE = "code"
ENVIRONMENT = "environment.json"
RESULT = "result.json"
FAILED = "failed.json"
ARCHIVE = "trials.tar.xz"
TRIALS = "trials"
PLANS = "plan"


@dataclass(frozen=True)
class RunFiles:
    """The files of a run's folder, whether they are there or not."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def environment(self) -> Path:
        return self.folder / ENVIRONMENT

    @property
    def calibration(self) -> Path:
        return self.folder / "calibration.json"

    @property
    def technology(self) -> Path:
        return self.folder / "technology.json"

    def code(self, role: str) -> Path:
        """Folder of the run's own copy; role: model or optimizer."""
        return self.folder / CODE / role

    @property
    def initial_network(self) -> Path:
        return self.folder / "init.npz"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.json"

    @property
    def ledger_table(self) -> Path:
        return self.folder / "ledger.md"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS

    @property
    def events(self) -> Path:
        return self.folder / "events"

    @property
    def tracking(self) -> Path:
        return self.folder / "tracking.json"

    @property
    def learning_curve(self) -> Path:
        return self.folder / "learning_curve.png"

    @property
    def learning_curves(self) -> tuple[Path, ...]:
        """The same picture for a screen, a paper and a drawing program."""
        return tuple(self.learning_curve.with_suffix(suffix) for suffix in (".png", ".pdf", ".svg"))

    @property
    def result(self) -> Path:
        return self.folder / RESULT

    @property
    def failed(self) -> Path:
        return self.folder / FAILED

    @property
    def pruned(self) -> Path:
        return self.folder / "pruned.json"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def lock(self) -> Path:
        return self.folder / ".lock"

    @property
    def evaluations(self) -> EvaluationFiles:
        """Of its trained network, where no other folder is asked for."""
        return EvaluationFiles(self.folder / "evaluate")

    @property
    def baseline(self) -> RunFiles:
        return RunFiles(self.folder / BASELINE)

    @property
    def is_run(self) -> bool:
        """Whether a training was begun here."""
        return is_file(self.config)

    @property
    def is_finished(self) -> bool:
        """Whether a training came to its end here."""
        return is_file(self.result)


@dataclass(frozen=True)
class SweepFiles:
    """The files of a sweep's folder, whether they are there or not. Of what is packed see `plans.SweepView`."""

    folder: Path

    @property
    def plans(self) -> Path:
        return self.folder / PLANS

    @property
    def trials(self) -> Path:
        return self.folder / TRIALS

    @property
    def calibrations(self) -> Path:
        return self.folder / "calibrations"

    @property
    def code(self) -> Path:
        return self.folder / CODE

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def page_pictures(self, name: str) -> Path:
        """What the page of `imctrain report` shows of a sweep, kept for the next page."""
        return self.results / ".page" / f"{name}.json"

    @property
    def search(self) -> Path:
        return self.folder / "search"

    @property
    def archive(self) -> Path:
        return self.folder / ARCHIVE

    @property
    def is_sweep(self) -> bool:
        """Whether trials were planned here."""
        return is_folder(self.plans)

    def plan(self, key: str) -> Path:
        return self.plans / f"{key}.json"

    def study(self, name: str) -> Path:
        """What a search has asked for and been told."""
        return self.search / f"{name}.journal"

    def trial(self, key: str) -> RunFiles:
        return RunFiles(self.trials / key)


@dataclass(frozen=True)
class EvaluationFiles:
    """The files of a folder that a trained network is evaluated into."""

    folder: Path

    @property
    def evaluations(self) -> Path:
        return self.folder / "evaluate.json"

    @property
    def lock(self) -> Path:
        return self.folder / ".lock"

    def figure(self, suffix: str) -> Path:
        """suffix: such as .png."""
        return self.folder / f"dies{suffix}"

    def conditions_figure(self, suffix: str) -> Path:
        """suffix: such as .png."""
        return self.folder / f"conditions{suffix}"


def sweep_of(trial: Path) -> SweepFiles | None:
    """The sweep's folder that a run's folder lies in as a trial; None for a run of its own."""
    return SweepFiles(trial.parent.parent) if trial.parent.name == TRIALS else None

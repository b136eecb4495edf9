"""What holds for every test: shapes are checked, dtypes promote strictly, one compilation cache, one finished run."""

from __future__ import annotations

import gc
import getpass
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Compiled once for all tests, workers, processes that tests start, and later runs of the suite.
CACHE = Path(tempfile.gettempdir()) / f"imctrain-tests-{getpass.getuser()}" / "xla"
os.environ["IMCTRAIN_CACHE_DIR"] = str(CACHE)
os.environ.setdefault("JAX_NUMPY_DTYPE_PROMOTION", "strict")

if hasattr(signal, "SIGHUP"):
    # Under nohup it is ignored, here and in all that tests start: they test what a terminal's end does.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

import shape_checks  # noqa: E402

shape_checks.install()  # before anything of imctrain is imported

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402
from filelock import FileLock  # noqa: E402
from run_tools import spawn, write  # noqa: E402

from imctrain.experiment.jax_setup import prepare_jax  # noqa: E402
from imctrain.garbage import collect_less_often  # noqa: E402

prepare_jax()
collect_less_often()
# A test gives one answer, today and tomorrow.
hypothesis.settings.register_profile("fixed draws", derandomize=True)
hypothesis.settings.load_profile("fixed draws")


@pytest.fixture(autouse=True)
def _no_leaked_tracers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Opt-in, and not in the quick tier: while JAX looks for leaks it traces every call anew."""
    marked = request.node.get_closest_marker("leak_checks") and not request.node.get_closest_marker("no_leak_checks")
    if not marked or request.config.getoption("markexpr") == "not slow":
        gc.unfreeze()
        yield
        return
    # At every trace it collects garbage and looks for referrers: in what the test made, not in all a worker gathered.
    # That is collected once for tests in a row: a second for each of them would be most of their time.
    if not gc.get_freeze_count():
        gc.collect()
    gc.freeze()
    with jax.check_tracer_leaks():
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of the tiny experiment after an uninterrupted run in a process of its own; nothing writes into it."""
    base = tmp_path_factory.getbasetemp()
    # Workers of one session share the parent of their folders, and so the run.
    folder = (base if worker_id == "master" else base.parent) / "finished"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "stdout").exists():
            done = spawn("run", "--config", write(folder), "--out", folder / "run")
            assert done.returncode == 0, done.stderr
            (folder / "stdout").write_text(done.stdout)
    return folder / "run"

"""What holds for every test: strict dtype promotion, no leaked tracers, one compilation cache."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Compiled once for all tests, workers, processes that tests start, and later runs of the suite.
CACHE = Path(tempfile.gettempdir()) / f"imctrain-tests-{getpass.getuser()}" / "xla"
os.environ["IMCTRAIN_CACHE_DIR"] = str(CACHE)
os.environ.setdefault("JAX_NUMPY_DTYPE_PROMOTION", "strict")

import jax  # noqa: E402
import pytest  # noqa: E402
from run_tools import spawn, write  # noqa: E402

from imctrain.experiment.jax_setup import prepare_jax  # noqa: E402

prepare_jax()

# While JAX looks for leaks it traces every call anew. Modules that only run networks of flax have no tracers of ours.
WITHOUT_LEAK_CHECKS = ("models/test_networks.py",)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "no_leak_checks(reason): tracer leaks are not looked for, for this reason")


@pytest.fixture(autouse=True)
def _no_leaked_tracers(request: pytest.FixtureRequest) -> Iterator[None]:
    opted_out = request.node.get_closest_marker("no_leak_checks") or request.path.as_posix().endswith(
        WITHOUT_LEAK_CHECKS
    )
    with jax.check_tracer_leaks(not opted_out):
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny experiment after an uninterrupted run in a process of its own."""
    folder = tmp_path_factory.mktemp("finished")
    done = spawn("run", "--config", write(folder), "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    return folder / "run"

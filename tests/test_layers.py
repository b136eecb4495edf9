"""Imports go down only, as docs/architecture.md draws the layers; what must start fast imports nothing heavy."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import imctrain

PACKAGE = Path(imctrain.__file__).parent
BELOW = {
    "errors": set(),
    "output": set(),
    "paths": {"errors"},
    "reading": {"errors"},
    "frozen_defaults": set(),
    "garbage": set(),
    "limits": set(),
    "units": set(),
    "intervals": set(),
    "files": {"errors"},
    "records": {"reading", "frozen_defaults", "files", "paths", "errors"},
    "families": set(),
    "own_code": {"files", "paths", "errors"},
    "formats": {"families"},
    "calibration": {"reading", "files", "paths", "limits", "errors"},
    "technology": {"reading", "files", "paths", "families", "limits", "errors"},
    "settings": {"reading", "calibration", "frozen_defaults", "files", "paths", "limits", "errors"},
    "imc": {"settings", "calibration", "formats", "families", "limits", "errors"},
    "cost": {"imc", "technology", "settings", "formats", "files", "errors"},
    "intercept": {"cost", "imc", "technology", "settings", "errors"},
    "data": {"paths", "errors"},
    "models": {"own_code", "limits", "errors"},
    "tracking": {"settings", "records", "reading", "families", "files", "errors"},
    "training": {
        "tracking",
        "output",
        "reading",
        "own_code",
        "models",
        "data",
        "intercept",
        "imc",
        "settings",
        "records",
        "files",
        "errors",
    },
    "starting": {"calibration", "files", "errors"},
    "report": {"reading", "records", "files", "paths", "intervals", "units", "errors"},
}
for upper in ("experiment", "evaluation", "studies", "bench", "sweep", "api", "cli"):
    BELOW[upper] = set(BELOW)
ROOMS = (
    "arrays",
    "progress",
    "options",
    "schema",
    "variation",
    "dead_columns",
    "reading",
    "virtual_chip",
    "fit",
    "faults",
)
ROOMS += ("sections", "judging", "summary", "datasheet", "compare", "calibrate")
"""Rooms and files of calibration/, lowest first: each may import those before it."""
IMC_ROOMS = ("chip", "coding", "mvm", "engines", "site", "forecast")
"""Rooms of imc/, lowest first."""
LIGHT = ("settings", "frozen_defaults", "errors", "limits", "files", "families", "records", "calibration", "technology")
LIGHT += (
    "output",
    "reading",
    "own_code",
)
"""Layers that every command loads."""
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem not in ("__init__",))
HEAVY = {"jax", "flax", "optax", "orbax", "tensorflow_datasets", "sklearn", "scipy", "polars", "matplotlib", "numpy"}


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield node.lineno, node.module or ""
            if node.module == "imctrain":
                yield from ((node.lineno, f"imctrain.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    own = layer(path)
    assert own in BELOW or own.startswith("_"), f"{own} is not in the map of layers"
    for line, module in imported(ast.parse(path.read_text())):
        parts = module.split(".")
        if parts[0] == "imctrain" and len(parts) > 1 and parts[1] in BELOW:
            assert parts[1] in BELOW[own] | {own}, f"{path}:{line}: {own} imports {module}, which is not below it"


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, known: set[str]) -> set[str]:
    """Modules of `known` that a file imports, in functions too; a name that is no module is its package's."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= full if full <= known else (full & known) | {node.module}
    return (found & known) - {module(path)}


def circles(graph: dict[str, set[str]]) -> set[tuple[str, ...]]:
    """Sets of nodes that reach each other, each sorted."""
    reached = {node: set(targets) for node, targets in graph.items()}
    changed = True
    while changed:
        changed = False
        for targets in reached.values():
            more = set().union(*(reached[target] for target in targets)) - targets
            targets |= more
            changed = changed or bool(more)
    inside = [node for node in reached if node in reached[node]]
    return {tuple(sorted(n for n in inside if n in reached[m] and m in reached[n])) for m in inside}


def test_no_modules_import_each_other():
    known = {module(path) for path in MODULES}
    found = circles({module(path): imported_modules(path, known) for path in MODULES})
    assert not found, "a circle of imports: move what both need into a file below both"


@pytest.mark.parametrize(("package", "rooms"), [("calibration", ROOMS), ("imc", IMC_ROOMS)])
def test_rooms_import_in_one_direction(package, rooms):
    known = {module(path) for path in MODULES}
    folder = PACKAGE / package
    for path in folder.rglob("*.py"):
        own = path.relative_to(folder).parts[0].removesuffix(".py")
        below = rooms if own == "__init__" else rooms[: rooms.index(own) + 1]
        for name in imported_modules(path, known):
            if name.startswith(f"imctrain.{package}."):
                room = name.removeprefix(f"imctrain.{package}.").split(".")[0]
                assert room in below, f"{path}: {name} is not below {own}"


def test_files_and_classes_stay_short():
    for path in MODULES:
        source = path.read_text()
        assert len(source.splitlines()) <= 350, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                assert (node.end_lineno or 0) - node.lineno < 150, f"{path}: {node.name}"


def draws(node: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) of calls of jax.random, np.random ... outside of functions: what runs when a module is imported."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        # Decorators and defaults run at import, the body does not.
        inside = [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
    elif isinstance(node, ast.Lambda):
        inside = []
    else:
        inside = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Call) and "random" in (name := ast.unparse(node.func)).split("."):
            yield node.lineno, name
    for child in inside:
        yield from draws(child)


@pytest.mark.parametrize(
    "code",
    ["K = jax.random.key(0)", "class A:\n x = np.random.default_rng(0).normal()", "@p(random.split(k))\ndef f(): ..."],
)
def test_draws_at_import_are_found(code):
    assert list(draws(ast.parse(code)))
    assert not list(draws(ast.parse("def fixture():\n  key = jax.random.key(0)\nX = [lambda: jax.random.key(0)]")))


def test_tests_draw_nothing_when_they_are_imported():
    """Draws belong to fixtures and functions: a test's numbers then depend on nothing that ran before it."""
    folder = Path(__file__).parent
    found = {path: list(draws(ast.parse(path.read_text()))) for path in folder.rglob("*.py")}
    assert not {path.relative_to(folder).as_posix(): lines for path, lines in found.items() if lines}


@pytest.mark.parametrize("own", LIGHT)
def test_layers_that_every_command_loads_import_no_jax(own):
    for path in (path for path in MODULES if layer(path) == own):
        found = {module.split(".")[0] for _, module in imported(ast.parse(path.read_text()))}
        assert not found & {"jax", "flax", "optax"}, path


def test_the_command_line_imports_heavy_libraries_in_functions_only():
    for path in (path for path in MODULES if layer(path) == "cli"):
        tree = ast.parse(path.read_text())
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        found = {module.split(".")[0] for node in top for _, module in imported(node)}
        assert not found & HEAVY, path


def test_jax_internals_are_imported_in_one_file_alone():
    users = {
        path.name
        for path in MODULES
        for _, module in imported(ast.parse(path.read_text()))
        if module.startswith(("jax._src", "jax.extend"))
    }
    assert users <= {"_jax_internals.py"}


def test_models_know_nothing_of_the_array():
    for path in (path for path in MODULES if layer(path) == "models"):
        assert not any(
            m.startswith(("imctrain.imc", "imctrain.intercept")) for _, m in imported(ast.parse(path.read_text()))
        )


def test_the_wheel_has_every_experiment_and_no_result():
    root = PACKAGE.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    experiments = root / "experiments"
    files = {p.relative_to(root).as_posix() for p in experiments.rglob("*.toml") if "results" not in p.parts}
    # A config names its calibration beside it.
    files |= {p.relative_to(root).as_posix() for p in (experiments / "chips" / "cifar10").glob("*.json")}
    assert {name for name in included if name.startswith("experiments")} == files

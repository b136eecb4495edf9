"""The command line itself: exit codes, one-line errors, help, completion, and a fast start."""

from __future__ import annotations

import errno
import json

import pytest
import typer
from run_tools import call, spawn
from typer.testing import CliRunner

import imctrain.cli
from imctrain.cli import app
from imctrain.errors import UserError


def commands(group, path=()):
    """Every command as its words, groups included."""
    yield list(path)
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


COMMANDS = list(commands(typer.main.get_command(app)))


def test_importing_the_command_line_imports_nothing_heavy():
    heavy = "'jax flax optax orbax tensorflow_datasets sklearn scipy polars matplotlib numpy'.split()"
    script = f"import sys, imctrain.cli; print([m for m in {heavy} if m in sys.modules])"
    done = spawn(script=script, fresh=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from imctrain.cli import main\ntry: main()\nfinally: sys.stderr.write(str('jax' in sys.modules))"
    )
    done = spawn("run", "--help", script=script, fresh=True)
    assert done.returncode == 0
    assert done.stderr == "False"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example_and_fits_80_columns(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    done = CliRunner().invoke(app, [*command, "--help"])
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= 80
    text = " ".join(done.output.split())
    if "COMMAND" not in text:
        assert "Example" in text
        assert text.count(" ".join(["imctrain", *command])) >= 2, "in the usage and in the example"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands(shell):
    asked = {"COMP_WORDS": "imctrain ", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "imctrain "}
    asked["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    script = "import sys; sys.argv[0] = 'imctrain'; from imctrain.cli import main; main()"
    done = spawn(script=script, fresh=True, _IMCTRAIN_COMPLETE=f"complete_{shell}", **asked)
    for command in ("run", "inspect", "schema", "bench", "calibrate", "chip", "data"):
        assert command in done.stdout, done.stderr


def test_the_shell_completion_script_is_printed():
    script = "import sys; sys.argv[0] = 'imctrain'; from imctrain.cli import main; main()"
    done = spawn(script=script, fresh=True, _IMCTRAIN_COMPLETE="source_bash")
    assert "complete -o default -F _imctrain_completion imctrain" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run"], "run needs either --config FILE (a new run) or --resume DIR (one that stopped)"),
        (["run", "-c", "a.toml", "--resume", "b"], "run needs either --config FILE"),
        (["run", "--resume", "b", "--set", "seed=1"], "--resume continues a run as it was: --set, --seed, --out"),
        (
            ["run", "--resume", "b", "--seed", "1"],
            "--resume continues a run as it was: --set, --seed, --out, --init and --track cannot",
        ),
        (["calibrate"], "calibrate needs a FILE of conversions"),
        (["run", "--confg", "a.toml"], "No such option: --confg (Possible options: --config) (see `imctrain run --he"),
        (["run", "-c", "nowhere.toml"], "config nowhere.toml cannot be read (No such file or directory)"),
        (["inspect"], "Missing option '--config' / '-c' (see `imctrain inspect --help`)"),
        (["schema", "foo"], "'foo' is not one of 'config', 'calibration'"),
        (["trian"], "No such command 'trian'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(monkeypatch, capsys, arguments, says):
    assert call(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("imctrain: ")
    assert says in err
    assert err.count("\n") == 1


def test_without_a_command_the_help_is_printed(monkeypatch, capsys):
    assert call(monkeypatch) == 2
    assert "Usage: imctrain" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (UserError("no such thing"), 2, "imctrain: no such thing\n"),
        (KeyboardInterrupt(), 130, "imctrain: interrupted\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a/b"),
            2,
            "imctrain: a/b: No space left on device: make room",
        ),
        (OSError(errno.EIO, "Input/output error", "a/b"), 1, "imctrain: a/b: Input/output error\n"),
        (RuntimeError("two\nlines"), 1, "imctrain: internal error: RuntimeError: two lines (run again with `imctrain "),
    ],
)
def test_exit_codes(monkeypatch, capsys, error, code, says):
    def fail(**_):
        raise error

    monkeypatch.setattr(imctrain.cli, "app", fail if not isinstance(error, KeyboardInterrupt) else lambda **_: 130)
    assert call(monkeypatch, "run") == code
    assert capsys.readouterr().err.startswith(says)


def test_ctrl_c_outside_training_is_told(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("imctrain.settings.load_config", interrupt)
    assert call(monkeypatch, "run", "-c", "a.toml") == 130
    assert capsys.readouterr().err == "imctrain: interrupted\n"


def test_traceback_shows_where(monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("inside")

    monkeypatch.setattr("imctrain.settings.load_config", fail)
    assert call(monkeypatch, "--traceback", "run", "-c", "a.toml") == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["config", "calibration", "technology"])
def test_schema_prints_a_json_schema(monkeypatch, capsys, what):
    assert call(monkeypatch, "schema", what) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False


def test_version(monkeypatch, capsys):
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"imctrain {imctrain.__version__}\n"


def test_a_pipe_that_closes_is_no_error_message():
    command = "f'{sys.executable} -m imctrain.cli schema | true'"
    done = spawn(script=f"import subprocess, sys; subprocess.run({command}, shell=True, check=True)")
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    "error", [MemoryError("no room"), RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nallocating 4 TiB")]
)
def test_running_out_of_memory_names_what_to_lower(monkeypatch, capsys, error):
    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr(imctrain.cli, "app", fails)
    assert call(monkeypatch, "run") == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "imctrain: out of memory: lower data.batch_size, data.eval_batch_size, model.width or imc.me"
    )
    assert said.count("\n") == 1

"""What all commands share: laziness, errors, exit codes."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner

from retrieve_rerank import cli
from retrieve_rerank.errors import InputError

HEAVY = ("numpy", "openvino", "qdrant_edge", "rich", "pydantic", "tokenizers", "torch")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_load_no_heavy_package(argument: str) -> None:
    done = run_python(
        "import sys\n"
        "from retrieve_rerank.cli import main\n"
        f"main([{argument!r}], standalone_mode=False)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(("argument", "code"), [("--version", 0), ("nonsense", 2)])
def test_the_command_line_does_not_wait_for_work_that_was_given_up(
    argument: str, code: int
) -> None:
    done = run_python(
        "import atexit, sys, threading, time\n"
        "from retrieve_rerank import cli\n"
        "from retrieve_rerank.concurrency import threads\n"
        "atexit.register(print, 'waited')\n"
        "going_on = threading.Thread(target=time.sleep, args=(50,), daemon=True)\n"
        "going_on.name = threads.THREAD\n"
        "going_on.start()\n"
        f"sys.argv = ['rr', {argument!r}]\n"
        "cli.run()"
    )
    assert done.returncode == code
    assert "waited" not in done.stdout
    assert done.stdout.startswith("rr ") is (code == 0)


def test_version_is_the_packages() -> None:
    result = CliRunner().invoke(cli.main, ["--version"], prog_name="rr")
    assert result.output == f"rr {version('retrieve-rerank')}\n"


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_the_listing_says_what_the_command_says(name: str) -> None:
    command = cli.load_command(name)
    assert command.get_short_help_str(limit=1000) == cli.COMMANDS[name].help


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_option_has_help(name: str) -> None:
    def check(command: click.Command) -> None:
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{command.name} {parameter.opts}"
        for child in getattr(command, "commands", {}).values():
            check(child)

    check(cli.load_command(name))


def test_unknown_commands_get_a_suggestion() -> None:
    result = CliRunner().invoke(cli.main, ["indexx"])
    assert result.exit_code == 2
    assert "index" in result.stderr.splitlines()[-1]


def test_a_missing_extra_is_named_in_one_line() -> None:
    done = run_python(
        "import sys\n"
        "sys.modules['ir_measures'] = None\n"  # as if it were not installed
        "from retrieve_rerank.cli import main\n"
        "main(['eval'])"
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: rr eval needs the extra 'eval': pip install 'retrieve-rerank[eval]'\n"
    )


@pytest.fixture
def group() -> click.Group:
    group = cli.LazyGroup()

    def refuse() -> None:
        raise InputError("the query is empty;\nexpected text")

    def stop() -> None:
        raise KeyboardInterrupt

    def crash() -> None:
        raise RuntimeError("a bug")

    for name, callback in (("refuse", refuse), ("stop", stop), ("crash", crash)):
        group.add_command(click.Command(name, callback=callback))
    return group


@pytest.fixture(autouse=True)
def commands_of_the_group(group: click.Group, monkeypatch: pytest.MonkeyPatch) -> None:
    load = cli.load_command
    monkeypatch.setattr(cli, "load_command", lambda name: group.commands.get(name) or load(name))


def test_our_errors_are_one_line_on_stderr_and_exit_1(group: click.Group) -> None:
    result = CliRunner().invoke(group, ["refuse"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: the query is empty; expected text\n"


def test_ctrl_c_exits_130_without_a_traceback(group: click.Group) -> None:
    result = CliRunner().invoke(group, ["stop"])
    assert result.exit_code == 130
    assert result.stderr == "\nStopped.\n"


def test_bugs_are_not_hidden(group: click.Group) -> None:
    result = CliRunner().invoke(group, ["crash"])
    assert isinstance(result.exception, RuntimeError)


@pytest.mark.parametrize(
    "command",
    [
        ["audit", "--index", "docs", "--queries", __file__, "--target-recall", "nan"],
        ["tensors", "add", "--index", "docs", "--rate", "nan"],
    ],
)
def test_what_is_no_number_is_in_no_range(command: list[str]) -> None:
    result = CliRunner().invoke(cli.main, command, prog_name="rr")
    assert result.exit_code == 2
    assert "nan is not a number" in result.output

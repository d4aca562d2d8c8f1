from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from cli.shell import SOURCE, Shell

from ayllu import __version__
from ayllu.cli.entries import COMMANDS


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command(shell: Shell, arguments: list[str]) -> None:
    done = shell.run(*arguments)

    assert (done.returncode, done.stderr) == (0, "")
    for name, entry in COMMANDS.items():
        assert any(
            line.split()[0].strip(",") == name and line.endswith(entry.help)
            for line in done.stdout.splitlines()
            if line.startswith("  ")
        ), name


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_of_its_own(shell: Shell, name: str) -> None:
    done = shell.run(name, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: ayllu {name} ")


def test_help_imports_nothing_heavy() -> None:
    program = "import sys; sys.argv = ['ayllu', '-h']\nfrom ayllu.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )

    heavy = {"click", "aiohttp", "rich", "prompt_toolkit", "msgspec", "asyncio"}
    assert not heavy & {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lst"], "there is no command 'lst', did you mean 'list'?"),
        (["show"], "Missing argument 'MODEL'."),
        (["cp", "a"], "Missing argument 'DESTINATION'."),
        (["list", "--nothing"], "No such option '--nothing'."),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_status_1(
    shell: Shell, arguments: list[str], sentence: str
) -> None:
    done = shell.run(*arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == f"Error: {sentence}"


@pytest.mark.parametrize(
    ("reply", "server", "errors"),
    [
        ({"version": "0.22.0", "ayllu": __version__}, __version__, ""),
        (
            {"version": "0.22.0", "ayllu": "9.9"},
            "9.9",
            f"Warning: client version is {__version__}\n",
        ),
        ({"version": "0.22.0"}, "0.22.0", f"Warning: client version is {__version__}\n"),
    ],
)
def test_version_is_the_servers(
    shell: Shell, reply: dict[str, str], server: str, errors: str
) -> None:
    shell.serve({"GET /api/version": {"body": shell.json(reply)}})

    done = shell.run("--version")

    assert (done.stdout, done.stderr) == (f"ayllu version is {server}\n", errors)


def test_version_without_a_server_is_this_commands(shell: Shell) -> None:
    done = shell.run("-v")

    assert (done.returncode, done.stdout) == (0, f"ayllu version is {__version__}\n")
    assert done.stderr == "Warning: could not connect to a running Ayllu instance\n"


def test_without_a_server_the_user_is_told_how_to_start_one(shell: Shell) -> None:
    done = shell.run("list")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: could not connect to the server at http://127.0.0.1:1: "
        "run 'ayllu serve' to start it\n"
    )


def test_a_server_that_fails_to_start_names_its_log(shell: Shell) -> None:
    shell.home.mkdir()
    (shell.folder / "no-llama").mkdir()

    done = shell.run("list", AYLLU_NO_AUTOSTART="", AYLLU_LLAMA_BIN=str(shell.folder / "no-llama"))

    log = shell.home / "logs" / "server.log"
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: the server could not start (")
    assert str(log) in done.stderr
    assert log.stat().st_mode & 0o777 == 0o600


def test_another_machines_server_is_never_started_here(shell: Shell) -> None:
    done = shell.run("list", AYLLU_NO_AUTOSTART="", AYLLU_HOST="nowhere.invalid:1")

    assert done.returncode == 1
    assert done.stderr.startswith("Error: could not connect to the server at ")
    assert not (shell.home / "logs").exists()


def test_a_key_is_shown_to_the_server(shell: Shell) -> None:
    fake = shell.serve({"GET /api/tags": {"body": "{}"}})

    shell.run("list", AYLLU_API_KEYS="secret,other")

    assert fake.facts()[1]["headers"]["Authorization"] == "Bearer secret"


HTML = "<html><body><h1>Bad gateway</h1></body></html>"


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ({"status": 500, "body": '{"error":"it broke"}'}, "it broke"),
        ({"status": 400, "body": '{"error":{"message":"no such thing"}}'}, "no such thing"),
        ({"status": 500, "body": HTML}, "the server at URL answered 500 Internal Server Error"),
        ({"status": 403, "body": ""}, "the server at URL answered 403 Forbidden"),
        ({"status": 599, "body": ""}, "the server at URL answered 599"),
        ({"body": HTML}, f"URL does not answer as an Ayllu server does: it sent '{HTML}'"),
        ({"body": '{"models":7}'}, "URL does not answer as an Ayllu server does: it sent '{\"mod"),
        ({"body": "[" * 100_000}, "URL does not answer as an Ayllu server does: it sent '[[[["),
        ({"body": "\udcff\udcfe"}, "URL does not answer as an Ayllu server does: it sent '\ufffd"),
        ({"body": '{"error":"an \\u001b[31mescape"}'}, "an [31mescape"),
        ({"lines": ['{"models":['], "cut": True}, "the server at URL broke off its answer"),
    ],
)
def test_whatever_a_server_answers_ends_in_a_sentence(
    shell: Shell, reply: dict[str, object], sentence: str
) -> None:
    fake = shell.serve({"GET /api/tags": reply})

    done = shell.run("list")

    assert (done.returncode, done.stdout) == (1, "")
    expected = sentence.replace("URL", f"http://{fake.host}")
    assert done.stderr.startswith(f"Error: {expected}"), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_leaves_is_no_error(shell: Shell) -> None:
    models = [{"name": f"model-{number}", "size": 1} for number in range(5000)]
    shell.serve({"GET /api/tags": {"body": shell.json({"models": models})}})
    process = shell.start("list", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None

    process.stdout.readline()
    process.stdout.close()

    assert process.wait(20) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_ctrl_c_while_waiting_is_status_130_without_a_traceback(shell: Shell) -> None:
    fake = shell.serve({"GET /api/tags": {"lines": [], "hang": True}})
    process = shell.start("list", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    fake.wait_until_asked("GET /api/tags")

    process.send_signal(signal.SIGINT)

    assert process.wait(20) == 130
    assert process.stderr is not None
    assert process.stderr.read() == b""
    fake.wait_until_left("/api/tags")

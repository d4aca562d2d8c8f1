from __future__ import annotations

import json
import re
from typing import Any

import pytest
from cli.shell import Shell

DIGEST = "sha256:" + "ab" * 32
LINES = [
    {"status": "pulling manifest"},
    {"status": "pulling abababababab", "digest": DIGEST, "total": 10},
    {"status": "pulling abababababab", "digest": DIGEST, "total": 10, "completed": 10},
    {"status": "verifying sha256 digest"},
    {"status": "writing manifest"},
    {"status": "success"},
]


@pytest.mark.parametrize("insecure", [True, False])
def test_a_model_is_pulled_with_progress_on_stderr(shell: Shell, insecure: bool) -> None:
    fake = shell.serve({"POST /api/pull": {"lines": LINES}})

    done = shell.run("pull", "m", *["--insecure"] * insecure)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "pulling manifest",
        "pulling abababababab",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    assert fake.asked("POST /api/pull") == [{"model": "m", "insecure": insecure}]


def test_a_terminal_shows_bars(shell: Shell) -> None:
    shell.serve({"POST /api/pull": {"lines": LINES}})

    terminal = shell.open_terminal("pull", "m")
    seen = terminal.expect("success")

    assert terminal.exit_status() == 0
    assert re.search(r"pulling abababababab: +100% \S*━+\S* \S*10/10 bytes", seen)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ({"status": 404, "body": '{"error":"not yet"}'}, "not yet"),
        ({"status": 404, "body": "404 page not found"}, "has no /api/pull"),
        ({"lines": [LINES[0], {"error": "the disk is full"}]}, "the disk is full"),
        ({"lines": LINES[:-1]}, "the server stopped before it was done"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    shell: Shell, reply: dict[str, Any], sentence: str
) -> None:
    shell.serve({"POST /api/pull": reply})

    done = shell.run("pull", "m")

    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert last.endswith(sentence)


def test_several_models_are_pulled_though_one_cannot_be_had(shell: Shell) -> None:
    fake = shell.serve(
        {"POST /api/pull": [{"lines": LINES}, {"lines": [{"error": "gone"}]}, {"lines": LINES}]}
    )

    done = shell.run("pull", "a", "b", "c")

    assert (done.returncode, done.stdout) == (1, "")
    assert "Error: b: gone" in done.stderr.splitlines()
    assert [body["model"] for body in fake.asked("POST /api/pull")] == ["a", "b", "c"]


def test_all_that_were_pulled_are_updated(shell: Shell) -> None:
    models = [{"name": name} for name in ("new:1", "same:1", "own:1", "gone:1")]
    start, end = [LINES[0]], [LINES[-1]]
    fake = shell.serve(
        {
            "GET /api/tags": {"body": json.dumps({"models": models})},
            "POST /api/pull": [
                {"lines": [*start, {"error": "pull model manifest: file does not exist"}]},
                {"lines": LINES},
                {"lines": [{"status": "not pulled from a registry"}, *end]},
                {"lines": [*start, {"status": "up to date"}, *end]},
            ],
        }
    )

    done = shell.run("pull", "--all")

    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "gone:1: failed: pull model manifest: file does not exist",
        "new:1: updated",
        "own:1: not pulled from a registry",
        "same:1: up to date",
    ]
    assert fake.asked("POST /api/pull") == [
        {"model": name, "update": True} for name in ("gone:1", "new:1", "own:1", "same:1")
    ]


@pytest.mark.parametrize("arguments", [[], ["m", "--all"]])
def test_it_has_to_be_said_what_is_pulled(shell: Shell, arguments: list[str]) -> None:
    done = shell.run("pull", *arguments)

    assert done.returncode != 0
    assert "say which MODELs, or --all" in done.stderr

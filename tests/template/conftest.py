"""Real Go text/template for the differential tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest


class Oracle:
    """A running oracle.go; whoever made the process ends it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, template: str, data: Mapping[str, Any]) -> tuple[str, str]:
        """The text and the error that Go gives, one of them empty."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"template": template, "data": data}), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        return answer["text"], answer["error"]


def _build(folder: Path) -> Path:
    go = shutil.which("go")
    if go is None:
        pytest.fail("the template tests need Go: apt-get install golang-go")
    program = folder / "oracle"
    source = Path(__file__).with_name("oracle.go")
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
        "GOCACHE": str(folder / "cache"),
    }
    built = subprocess.run(
        [go, "build", "-o", str(program), str(source)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return program


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    program = _build(tmp_path_factory.mktemp("oracle"))
    with subprocess.Popen(
        [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        yield Oracle(process)
        assert process.stdin is not None
        process.stdin.close()

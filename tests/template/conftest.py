"""Real Go text/template for the differential tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ayllu.errors import TemplateError
from ayllu.template import parse

DATA: dict[str, Any] = {
    "Response": "",
    "Name": "Ada",
    "Empty": "",
    "Zero": 0,
    "One": 1,
    "Big": 9007199254740993,
    "Half": 0.5,
    "Million": 1000000.5,
    "Huge": 1e21,
    "Tiny": 1e-7,
    "Minus": -42,
    "True": True,
    "False": False,
    "Null": None,
    "List": ["a", "b", "c"],
    "Numbers": [3, 1, 2],
    "Mixed": [1, "x", None, 2.5, True, [1], {"k": "v"}],
    "NoList": [],
    "Map": {"z": 1, "a": "two", "m": None},
    "NoMap": {},
    "Deep": {"a": {"b": {"c": "end"}}},
    "Rows": [{"n": 1, "tags": ["x"]}, {"n": 2, "tags": []}, {"n": 3, "tags": ["y", "z"]}],
    "Html": "<a href='x'>\"&\"</a>",
    "Odd": 'tab\there "quoted" \\ back',
    "Accents": "naïve café ünï",
    "Emoji": "a😀b",
}


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

    def check(self, template: str) -> None:
        """Fail unless Go and we make the same text of DATA, or both refuse the template."""
        text, error = self.ask(template, DATA)
        try:
            ours, our_error = parse(template).execute(DATA), ""
        except TemplateError as refusal:
            ours, our_error = "", str(refusal)
        assert (ours, bool(our_error)) == (text, bool(error)), f"Go: {error}, we: {our_error}"


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
def same_as_go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], None]]:
    """Fails unless Go makes the same of a template as we."""
    program = _build(tmp_path_factory.mktemp("oracle"))
    with subprocess.Popen(
        [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        yield Oracle(process).check
        assert process.stdin is not None
        process.stdin.close()

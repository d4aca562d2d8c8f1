"""What clients' tests share: a server with the models they ask, and what their scripts got."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Got, try_script
from serving import Serving, serving


@pytest.fixture(scope="session")
def single(
    tmp_path_factory: pytest.TempPathFactory, base_gguf: Path, tool_gguf: Path, endless_gguf: Path
) -> Iterator[Serving]:
    """A server with `mini`, `base`, `tool` and `endless` that answers one request at a time."""
    with serving(tmp_path_factory.mktemp("home"), AYLLU_NUM_PARALLEL="1") as running:
        running.create("base", base_gguf)
        running.create("tool", tool_gguf)
        running.create("endless", endless_gguf)
        yield running


@pytest.fixture(scope="module")
def got(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, testrun_uid: str
) -> Got:
    """What the script that a module names as SCRIPT got, in whichever process it ran first."""
    script = request.module.SCRIPT
    kept = tmp_path_factory.getbasetemp().parent / f"{testrun_uid}-{Path(script).name}.json"
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            server: Serving = request.getfixturevalue("single")
            lines = try_script(script, server.url, tmp_path_factory.mktemp("client"))
            kept.write_text(lines, "utf-8")
    return Got(kept.read_text("utf-8"))

"""One child: its log, its end, and the watchdog for systems without a parent-death signal."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from serving import wait_until

from ayllu.config import load_settings
from ayllu.errors import EngineError
from ayllu.runner.child import LOG_LINES
from ayllu.runner.engine import Engine, find_engine
from ayllu.runner.options import LoadOptions
from ayllu.runner.process import (
    RunnerProcess,
    start_runner,
    sweep_runtime_folders,
)


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def fake_engine(folder: Path, script: str) -> Engine:
    """A small program in llama-server's place."""
    program = folder / "llama-server"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Engine(folder, "0", "", "test")


async def start(engine: Engine, home: Path, gguf: Path = Path("m.gguf")) -> RunnerProcess:
    load = LoadOptions(model=gguf, context=64)
    return await start_runner(engine, load, name="m", home=home, on_exit=lambda _: None)


def test_the_last_lines_of_the_log_are_kept_and_all_of_them_are_in_a_file(home: Path) -> None:
    async def work() -> None:
        script = "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; echo error: bad"
        process = await start(fake_engine(home, script), home)
        await process.exited.wait()
        assert len(process.log) == LOG_LINES
        assert process.reason() == "the engine ended with code 0: error: bad"
        await process.stop()

    asyncio.run(work())
    lines = (home / "logs" / "engine-m.log").read_text().splitlines()
    assert lines[0] == "line 0"
    assert len(lines) == 501


def test_a_line_without_an_end_does_not_fill_the_memory(home: Path) -> None:
    async def work() -> None:
        process = await start(fake_engine(home, "head -c 3000000 /dev/zero"), home)
        await process.exited.wait()
        assert max(map(len, process.log)) <= 1 << 18
        await process.stop()

    asyncio.run(work())


def test_a_child_that_ignores_the_polite_signal_is_killed(home: Path) -> None:
    async def work() -> None:
        process = await start(fake_engine(home, "trap '' TERM; while :; do sleep 0.1; done"), home)
        await asyncio.sleep(0.2)
        await process.stop()
        assert not psutil.pid_exists(process.pid)
        assert process.reason() == "the model was unloaded"

    asyncio.run(work())


def test_a_program_that_cannot_start_is_an_error_and_leaves_nothing(home: Path) -> None:
    engine = fake_engine(home, "")
    (home / "llama-server").chmod(0o644)
    with pytest.raises(EngineError, match="could not be started"):
        asyncio.run(start(engine, home))
    assert list(home.glob("ayllu-*")) == []


def test_the_socket_is_behind_a_folder_of_ours_and_a_key(home: Path, base_gguf: Path) -> None:
    async def work() -> None:
        process = await start(
            find_engine(load_settings({"AYLLU_HOME": str(home)})), home, base_gguf
        )
        assert process.socket_path is not None
        there = process.socket_path.exists
        await asyncio.to_thread(wait_until, there, what="the socket")
        assert process.socket_path.parent.stat().st_mode & 0o777 == 0o700
        assert process.api_key not in " ".join(psutil.Process(process.pid).cmdline())
        await process.stop()
        assert not process.socket_path.exists()

    asyncio.run(work())


def test_folders_of_servers_that_are_gone_are_swept_away(home: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = home / f"ayllu-{os.getuid()}-{os.getpid()}-x"
    theirs = home / f"ayllu-{os.getuid()}-{gone.pid}-x"
    for folder in (mine, theirs):
        folder.mkdir()
    sweep_runtime_folders()
    assert (mine.exists(), theirs.exists()) == (True, False)


WATCHED = """
import asyncio, sys
from pathlib import Path

import psutil
from ayllu.runner.engine import Engine
from ayllu.runner.options import LoadOptions
from ayllu.log import configure_log
from ayllu.runner import child, process

configure_log(debug=False)
child._LINUX = False  # as on a system without a parent-death signal
async def main():
    engine = Engine(Path(sys.argv[1]), "0", "", "test")
    load = LoadOptions(model=Path("m"), context=64)
    child = await process.start_runner(
        engine, load, name="m", home=Path(sys.argv[1]), on_exit=lambda _: None
    )
    print(child.pid, flush=True)
    if sys.argv[2] == "stop":
        await child.stop()
        print(len(psutil.Process().children()), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_where_the_kernel_does_not_help_a_watchdog_ends_the_child(home: Path, end: str) -> None:
    fake_engine(home, "exec sleep 60")
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(home), end], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        if end == "stop":
            assert int(parent.stdout.readline()) == 0, "the watchdog was not waited for"
        parent.kill()
    wait_until(lambda: not psutil.pid_exists(child), what="the child's end")

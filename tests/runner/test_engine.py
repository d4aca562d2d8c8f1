"""Which llama.cpp is taken: the built one, a named one, one on PATH; never one that misfits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from serving import clean_environment

from ayllu.config import Settings, load_settings
from ayllu.errors import EngineMissingError
from ayllu.runner.engine import RPC_PROTOCOL, built_folder, engine_facts, find_engine, rpc_protocol

OTHER_PROTOCOL = """#!{python}
import socket, sys
port = int(sys.argv[sys.argv.index("-p") + 1])
with socket.create_server(("127.0.0.1", port)) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(64)
            connection.sendall((28).to_bytes(8, "little") + bytes([6, 1, 2]) + bytes(25))
"""


def settings(home: Path, llama_bin: Path | str = "") -> Settings:
    return load_settings({"AYLLU_HOME": str(home), "AYLLU_LLAMA_BIN": str(llama_bin)})


def built() -> Path:
    folder = built_folder()
    assert folder is not None
    return folder


def copy_of_the_engine(folder: Path) -> Path:
    folder.mkdir()
    for name in ("llama-server", "ggml-rpc-server"):
        (folder / name).write_text(f'#!/bin/sh\nexec "{built() / name}" "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def test_the_built_engine_is_found_and_tells_what_it_can_do(tmp_path: Path) -> None:
    found = find_engine(settings(tmp_path))
    facts = engine_facts(found)
    assert (found.folder, found.source) == (built(), "built")
    assert found.version[0].isdigit()
    assert facts.rpc_protocol.startswith(".".join(map(str, RPC_PROTOCOL)))
    assert {"cpu", "rpc"} <= set(facts.backends)
    assert facts.cpu_features


def test_an_engine_that_fits_may_be_named_by_its_folder_or_its_program(tmp_path: Path) -> None:
    folder = copy_of_the_engine(tmp_path / "own")
    for named in (folder, folder / "llama-server"):
        found = find_engine(settings(tmp_path, named))
        assert (found.folder, found.source) == (folder, "AYLLU_LLAMA_BIN")


def test_without_a_built_engine_the_one_on_path_is_taken(tmp_path: Path) -> None:
    folder = copy_of_the_engine(tmp_path / "own")
    # A package of the same name without programs in it stands before the one that has them.
    (tmp_path / "llama_cpp").mkdir()
    (tmp_path / "llama_cpp" / "__init__.py").touch()
    environment = clean_environment(tmp_path) | {"PYTHONPATH": str(tmp_path)}
    for path, words in ((str(folder), "PATH"), (str(tmp_path), "make setup")):
        done = subprocess.run(
            [sys.executable, "-m", "ayllu", "engine", "info"],
            env=environment | {"PATH": f"{path}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert words in done.stdout + done.stderr


def test_an_engine_that_speaks_another_protocol_is_refused(tmp_path: Path) -> None:
    folder = copy_of_the_engine(tmp_path / "own")
    worker = folder / "ggml-rpc-server"
    worker.write_text(OTHER_PROTOCOL.format(python=sys.executable))
    assert rpc_protocol(worker) == (6, 1, 2)
    with pytest.raises(EngineMissingError, match=r"RPC protocol 6\.1\.2"):
        find_engine(settings(tmp_path, folder))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -ILL $$", "another CPU"),
        ("echo nothing", "does not say its version"),
        ("echo 'version: 9 (abcdef0)'", "is too old"),
    ],
)
def test_an_engine_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, script: str, words: str
) -> None:
    program = tmp_path / "llama-server"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(EngineMissingError, match=words):
        find_engine(settings(tmp_path, tmp_path))

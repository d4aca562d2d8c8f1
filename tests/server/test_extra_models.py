"""A server with models in other folders: they run where they lie, and nothing there is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf_splitter import split
from serving import Serving, ayllu, serving

from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.store import Store


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path) -> tuple[Path, ...]:
    """An Ollama store with mini's manifest, a folder of GGUFs, and one that is not there."""
    root = tmp_path_factory.mktemp("others")
    split(chat_gguf, root / "parted")
    lm_studio = root / "lm-studio/publisher/repo-GGUF"
    lm_studio.mkdir(parents=True)
    shutil.copyfile(chat_gguf, lm_studio / "repo-Q8_0.gguf")
    (root / "broken.gguf").write_bytes(b"GGUF")
    theirs = tmp_path_factory.mktemp("ollama")
    Store(theirs).add_file(chat_gguf, MODEL_TYPE)
    return theirs, root, root / "lm-studio", root / "absent"


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, folders: tuple[Path, ...]
) -> Iterator[Serving]:
    extra = ",".join(map(str, folders))
    with serving(tmp_path_factory.mktemp("home"), AYLLU_EXTRA_MODELS=extra) as running:
        yield running


def said(server: Serving, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "x"}], "stream": False}
    answer = server.post("/api/chat", body)
    assert answer.status == 200, answer.body
    return str(answer.json["message"]["content"])


def test_models_run_where_they_lie(server: Serving, folders: tuple[Path, ...]) -> None:
    before = {path: path.stat().st_mtime_ns for path in folders[1].rglob("*")}
    listed = server.ayllu("list").stdout
    assert "parted:latest" in listed
    assert "hf.co/publisher/repo-GGUF:Q8_0" in listed
    assert "broken" not in listed
    assert said(server, "parted").startswith("abcdef")
    commands = [" ".join(engine.cmdline()) for engine in server.engines()]
    assert any(f"{folders[1]}/parted-00001-of-" in command for command in commands)
    assert said(server, "hf.co/publisher/repo-gguf:q8_0") == said(server, "parted")
    assert server.ayllu("run", "parted", "x").stdout.startswith("abcdef")
    assert "parameters" in server.ayllu("show", "parted").stdout
    assert {path: path.stat().st_mtime_ns for path in folders[1].rglob("*")} == before
    assert not list((server.home / "models").rglob("sha256-*"))


def test_they_cannot_be_removed_from_here(server: Serving, folders: tuple[Path, ...]) -> None:
    answer = server.request("DELETE", "/api/delete", {"model": "parted"})
    assert (answer.status, folders[1].name in answer.json["error"]) == (400, True)
    done = server.ayllu("rm", "parted")
    assert (done.status, "which is only read: remove it there" in done.stderr) == (1, True)
    assert said(server, "parted")


def test_a_part_that_is_gone_is_told(server: Serving, folders: tuple[Path, ...]) -> None:
    last = max(folders[1].glob("parted-*"))
    away = last.rename(last.with_suffix(".away"))
    answer = server.post("/api/show", {"model": "parted"})
    assert answer.status == 400
    assert f"cannot be used: {last.name} is missing" in answer.json["error"]
    assert "parted" not in server.ayllu("list").stdout
    away.rename(last)
    assert server.post("/api/show", {"model": "parted"}).status == 200


def test_what_cannot_be_read_is_told(server: Serving, folders: tuple[Path, ...]) -> None:
    assert f"{folders[3]} cannot be read" in server.log.read_text("utf-8")
    extra = {"AYLLU_EXTRA_MODELS": os.pathsep.join(map(str, folders))}
    done = ayllu(server.environment | extra, "doctor")
    assert done.status == 1
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert f"ok extra 1 model in {folders[2]}" in lines
    assert f"MEND extra {folders[3]} cannot be read: No such file or directory" in lines
    assert any(line.startswith("MEND extra broken:latest in") for line in lines)


def test_a_file_that_changes_is_loaded_anew(
    tmp_path: Path, chat_gguf: Path, base_gguf: Path
) -> None:
    folder = tmp_path / "ggufs"
    folder.mkdir()
    shutil.copyfile(base_gguf, folder / "m.gguf")
    with serving(tmp_path / "home", AYLLU_EXTRA_MODELS=str(folder)) as server:
        ask = {"model": "m", "prompt": "x", "stream": False, "options": {"num_predict": 4}}
        before = server.post("/api/generate", ask)
        assert before.status == 200, before.body
        shutil.copyfile(chat_gguf, folder / "new")
        (folder / "new").replace(folder / "m.gguf")
        assert said(server, "m").startswith("abcdef")

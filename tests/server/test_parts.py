"""A model in several files becomes one model, through the command line and the API."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from serving import Serving

from ayllu.runner.engine import built_folder

PROMPT = {"prompt": "ab", "raw": True, "stream": False, "options": {"num_predict": 40, "seed": 1}}


@pytest.fixture(scope="module")
def parts(chat_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = built_folder()
    if folder is None or not (folder / "llama-gguf-split").exists():
        pytest.skip("there is no llama-gguf-split")
    target = tmp_path_factory.mktemp("parts") / "chat"
    arguments = ["--split-max-tensors", "4", str(chat_gguf), str(target)]
    subprocess.run([folder / "llama-gguf-split", *arguments], check=True, capture_output=True)
    return sorted(target.parent.glob("chat-*.gguf"))


def test_a_part_on_the_command_line_brings_the_others(server: Serving, parts: list[Path]) -> None:
    done = server.ayllu("create", "merged", str(parts[1]))
    assert (done.status, "merging the parts" in done.stderr) == (0, True), done.stderr
    shown = server.post("/api/show", {"model": "merged", "verbose": True}).json
    whole = server.post("/api/show", {"model": "chat", "verbose": True}).json
    assert shown["model_info"] == whole["model_info"]
    assert shown["tensors"] == whole["tensors"]
    assert shown["details"] == whole["details"]
    answers = [
        server.post("/api/generate", {"model": m, **PROMPT}).json for m in ("merged", "chat")
    ]
    assert answers[0]["response"] == answers[1]["response"] != ""


def test_a_set_that_is_not_whole_is_refused_before_anything_is_done(
    server: Serving, parts: list[Path]
) -> None:
    files = {part.name: server.upload(part.read_bytes()) for part in parts}
    files.pop(parts[1].name)
    answer = server.post("/api/create", {"model": "bad", "files": files})
    assert answer.status == 400
    assert "these are missing: 2; give all files" in answer.json["error"]
    first, *others = files
    body = {"model": "bad", "files": {name: files[name] for name in others}, "stream": False}
    assert "these are missing: 1, 2;" in server.post("/api/create", body).json["error"]
    body = {"model": "bad", "from": "chat", "draft_files": {first: files[first]}}
    assert "is a part of a model" in server.post("/api/create", body).json["error"]

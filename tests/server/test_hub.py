"""Models of Hugging Face: its registry's, and those that it does not serve, by its files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from gguf_maker import make_successor_model, walk
from hf_maker import make_hf
from serving import Serving, serving

from ayllu.models.shelf import ASSETS
from ayllu.runner.engine import built_folder

HERE = Path(__file__).parent.parent


class Hub(NamedTuple):
    folder: Path
    record: Path
    url: str

    def repository(self, name: str) -> Path:
        """A new repository's folder."""
        path = self.folder / name
        path.mkdir(parents=True)
        return path

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.record.read_text("utf-8").splitlines()]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder, record = tmp_path / "hub", tmp_path / "record"
    folder.mkdir()
    record.touch()
    command = [sys.executable, str(HERE / "hub_server.py"), str(folder), str(record)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port, _ = process.stdout.readline().split()
        yield Hub(folder, record, f"http://127.0.0.1:{port}")
        process.terminate()


@pytest.fixture
def server(hub: Hub, tmp_path: Path) -> Iterator[Serving]:
    with started(hub, tmp_path / "home") as server:
        yield server


def started(hub: Hub, home: Path, **more: str) -> Any:
    return serving(home, HF_ENDPOINT=hub.url, AYLLU_REGISTRIES="127.0.0.1", **more)


def pulled(server: Serving, name: str, **more: Any) -> list[str]:
    """Pull, and return what was said."""
    lines = server.post("/api/pull", {"model": name, **more}).lines
    assert lines[-1] == {"status": "success"}, lines[-1]
    return [line["status"] for line in lines]


def refusal(server: Serving, name: str) -> str:
    last = server.post("/api/pull", {"model": name}).lines[-1]
    return str(last["error"])


def said(server: Serving, model: str) -> str:
    body = {"model": model, "prompt": "a", "stream": False, "options": {"num_predict": 12}}
    return str(server.post("/api/generate", body).json["response"])


def split(source: Path, folder: Path, name: str) -> None:
    """The source in parts, as the engine's own tool makes them."""
    engine = built_folder()
    assert engine is not None
    tool = engine / "llama-gguf-split"
    arguments = ["--split-max-tensors", "3", str(source), str(folder / name)]
    subprocess.run([tool, "--split", *arguments], check=True, capture_output=True)


def blobs(server: Serving) -> set[str]:
    return {path.name for path in (server.home / "models" / "blobs").iterdir()}


def test_a_model_in_parts_is_fetched_merged_and_runs(hub: Hub, server: Serving) -> None:
    repository = hub.repository("somebody/big-GGUF")
    whole = make_successor_model(hub.folder.parent / "whole.gguf")
    (repository / "Q8_0").mkdir()
    split(whole, repository / "Q8_0", "big-Q8_0")
    assert len(list(repository.rglob("*.gguf"))) > 2
    words = pulled(server, "hf.co/somebody/big-GGUF:Q8_0")
    assert words[0] == "pulling manifest"
    assert any(word.startswith("merging") for word in words)
    assert said(server, "hf.co/somebody/big-GGUF:Q8_0") == walk(13)[1:]
    shown = server.post("/api/show", {"model": "hf.co/somebody/big-GGUF:Q8_0"}).json
    assert shown["model_info"]["general.architecture"] == "llama"
    assert len(blobs(server)) == 2, "the parts were left behind"


def test_the_hubs_registry_is_asked_first(hub: Hub, server: Serving) -> None:
    repository = hub.repository("somebody/plain-GGUF")
    shutil.copy(make_successor_model(hub.folder.parent / "x.gguf"), repository / "a-Q4_K_M.gguf")
    pulled(server, "hf.co/somebody/plain-GGUF")
    paths = [request["path"] for request in hub.requests if request["where"] == "hub"]
    assert paths[0] == "/v2/somebody/plain-GGUF/manifests/latest"
    assert paths[1] == "/api/models/somebody/plain-GGUF"


def test_a_pull_again_of_the_same_revision_fetches_nothing(hub: Hub, server: Serving) -> None:
    repository = hub.repository("somebody/same-GGUF")
    shutil.copy(make_successor_model(hub.folder.parent / "x.gguf"), repository / "a-Q4_K_M.gguf")
    pulled(server, "hf.co/somebody/same-GGUF")
    before = len([request for request in hub.requests if request["where"] == "store"])
    assert before > 0
    words = pulled(server, "hf.co/somebody/same-GGUF", update=True)
    assert "up to date" in words
    assert len([request for request in hub.requests if request["where"] == "store"]) == before


def test_the_token_goes_to_the_hub_and_not_to_where_files_are_stored(
    hub: Hub, tmp_path: Path
) -> None:
    repository = hub.repository("somebody/private-GGUF")
    shutil.copy(make_successor_model(tmp_path / "x.gguf"), repository / "a-Q4_K_M.gguf")
    with started(hub, tmp_path / "home", HF_TOKEN="hf_right") as server:
        pulled(server, "hf.co/somebody/private-GGUF")
    sent = {(request["where"], request["authorization"]) for request in hub.requests}
    assert sent == {("hub", "Bearer hf_right"), ("store", "")}


def test_a_private_repository_without_its_token_is_told(hub: Hub, tmp_path: Path) -> None:
    hub.repository("somebody/private-GGUF")
    with started(hub, tmp_path / "one") as server:
        assert "set HF_TOKEN" in refusal(server, "hf.co/somebody/private-GGUF")
    with started(hub, tmp_path / "two", HF_TOKEN="hf_wrong") as server:
        assert "your HF_TOKEN may read" in refusal(server, "hf.co/somebody/private-GGUF")


def test_a_repository_that_is_not_there_is_told(server: Serving) -> None:
    assert "has no repository nobody/nothing" in refusal(server, "hf.co/nobody/nothing")


def test_a_tag_that_is_not_there_is_told_with_those_that_are(hub: Hub, server: Serving) -> None:
    repository = hub.repository("somebody/tags-GGUF")
    shutil.copy(make_successor_model(hub.folder.parent / "x.gguf"), repository / "a-Q5_0.gguf")
    assert "no file for the tag 'Q9_9'; there are Q5_0" in refusal(
        server, "hf.co/somebody/tags-GGUF:Q9_9"
    )
    names = [model["name"] for model in server.get("/api/tags").json["models"]]
    assert not any(name.startswith("hf.co") for name in names)


def test_weights_that_are_no_gguf_are_converted_and_may_be_quantized(
    hub: Hub, torch_python: Path, tmp_path: Path
) -> None:
    make_hf(hub.repository("somebody/checkpoint"), ASSETS / "mini-f16.gguf", shards=2)
    with started(hub, tmp_path / "home", AYLLU_TORCH_PYTHON=str(torch_python)) as server:
        name = "hf.co/somebody/checkpoint:q8_0"
        pulled(server, name)
        shown = server.post("/api/show", {"model": name}).json
        assert shown["details"]["quantization_level"] == "Q8_0"
        ask = [{"role": "user", "content": "What is two plus two?"}]
        body = {"model": name, "messages": ask, "stream": False, "options": {"temperature": 0}}
        assert "four" in server.post("/api/chat", body).json["message"]["content"]
        assert len(blobs(server)) < 10, "the weights were left behind"

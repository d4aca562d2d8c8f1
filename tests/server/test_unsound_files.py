"""Files that never went through create: the engine sees none of them before they are checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf_maker import CHATML, make_adapter, make_successor_model
from odd_maker import make_odd
from projector_maker import make_projector
from serving import Serving, serving

from ayllu.gguf.read import read_header
from ayllu.models.manifest import (
    ADAPTER_TYPE,
    CONFIG_TYPE,
    DRAFT_TYPE,
    MODEL_TYPE,
    PROJECTOR_TYPE,
    encode_manifest,
)
from ayllu.models.name import parse_name
from ayllu.models.store import Store

KINDS = {
    "model": MODEL_TYPE,
    "projector": PROJECTOR_TYPE,
    "adapter": ADAPTER_TYPE,
    "draft": DRAFT_TYPE,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home")) as running:
        yield running


def bled(path: Path) -> bytes:
    """The file with a tensor that ends after the end (CVE-2026-7482)."""
    header = read_header(path)
    return path.read_bytes()[: header.data_offset + header.tensors[-1].offset + 4]


@pytest.mark.parametrize("kind", KINDS)
def test_no_engine_is_started_with_a_file_that_bleeds(
    server: Serving, tmp_path: Path, kind: str
) -> None:
    sound = {
        "model": make_successor_model(tmp_path / "m.gguf", chat_template=CHATML),
        "projector": make_projector(tmp_path / "p.gguf"),
        "adapter": make_adapter(tmp_path / "a.gguf"),
    }
    store = Store(server.home / "models")
    layers = [store.add_file(sound["model"], MODEL_TYPE)] if kind != "model" else []
    layers.append(store.write_blob(bled(sound.get(kind, sound["model"])), KINDS[kind]))
    config = store.write_blob(b"{}", CONFIG_TYPE)
    store.write_manifest(parse_name(kind), encode_manifest(config, tuple(layers)))
    answer = server.post("/api/generate", {"model": kind, "prompt": "a"})
    assert (answer.status, "is truncated: tensor" in answer.json["error"]) == (400, True)
    assert server.engines() == []
    assert server.post("/api/show", {"model": kind}).status == 400


def test_an_odd_model_is_not_quantized(server: Serving, tmp_path: Path) -> None:
    server.create("odd", make_odd(tmp_path / "odd.gguf", "gptoss"))
    body = {"model": "small", "from": "odd", "quantize": "q8_0", "stream": False}
    answer = server.post("/api/create", body)
    assert answer.status == 400
    assert "this gptoss model is in a form of Ollama's own" in answer.json["error"]

"""Projectors that the engine cannot load: the reason is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gguf_maker import CHATML, WIDE, make_successor_model
from gguf_writer import write_gguf
from media_samples import b64, png
from projector_maker import make_projector, vision
from serving import Serving


@pytest.mark.parametrize(
    ("keys", "lacking", "words"),
    [
        ({"clip.vision.projector_type": "nonesuch"}, "", "not know the projector type 'nonesuch'"),
        ({"clip.vision.projector_type": ""}, "", "not know the projector type ''"),
        ({"clip.has_vision_encoder": False}, "", "neither clip.has_vision_encoder nor"),
        ({"clip.vision.patch_size": 0}, "", "the projector is damaged: "),
        ({}, "mm.2.weight", "lacks the tensor 'mm.2.weight'"),
    ],
)
def test_a_projector_that_does_not_load_is_explained(
    server: Serving, tmp_path: Path, keys: dict[str, Any], lacking: str, words: str
) -> None:
    good, tensors = vision()
    kvs = {"general.architecture": "clip"} | good | keys
    left = {name: tensor for name, tensor in tensors.items() if name != lacking}
    projector = write_gguf(tmp_path / "mmproj.gguf", kvs, left)
    model = make_successor_model(tmp_path / "model.gguf", chat_template=CHATML)
    server.create("bad", model, projector)
    answer = server.post("/api/generate", {"model": "bad", "prompt": "hi"})
    assert (answer.status, words in answer.json["error"]) == (500, True), answer.body


def test_eyes_within_the_model_are_not_found(server: Serving, tmp_path: Path) -> None:
    within = make_successor_model(
        tmp_path / "within.gguf", chat_template=CHATML, extra={"llama.vision.block_count": 2}
    )
    server.create("within", within)
    message = {"role": "user", "content": "look", "images": [b64(png())]}
    answer = server.post("/api/chat", {"model": "within", "messages": [message]})
    assert (answer.status, "has its vision within its own GGUF" in answer.json["error"]) == (
        400,
        True,
    )


def test_a_projector_of_another_model_is_told(server: Serving, tmp_path: Path) -> None:
    wide = make_successor_model(tmp_path / "wide.gguf", chat_template=CHATML, replies=WIDE)
    server.create("wide", wide, make_projector(tmp_path / "mmproj.gguf"))
    answer = server.post("/api/generate", {"model": "wide", "prompt": "hi"})
    words = "belongs to another model: it makes embeddings of 288 numbers, not of 512"
    assert (answer.status, words in answer.json["error"]) == (500, True), answer.body

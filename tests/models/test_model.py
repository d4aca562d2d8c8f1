from __future__ import annotations

from pathlib import Path

import pytest
from gguf_maker import make_successor_model
from model_maker import make, put

from ayllu.errors import BadRequestError, NotFoundError, StoreError
from ayllu.models.create import CreateRequest
from ayllu.models.manifest import CONFIG_TYPE, MODEL_TYPE, PARAMS_TYPE, encode_manifest
from ayllu.models.model import open_model, read_config
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.types import Layer, Message


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "models")
    layer = store.add_file(make_successor_model(tmp_path / "x.gguf"), MODEL_TYPE)
    request = CreateRequest(
        files={"x.gguf": layer.digest},
        template="{{ .Prompt }}",
        system="Be brief.",
        license=("MIT", "Apache"),
        parameters={"temperature": 0.5, "stop": ["a"]},
        messages=(Message("user", "hi"), Message("assistant", "ho")),
    )
    make(store, "Full", request)
    return store


def test_a_model_has_all_its_layers(store: Store) -> None:
    model = open_model(store, parse_name("full"))
    stored = store.manifest(parse_name("full"))
    assert model.name == parse_name("Full")
    assert (model.digest, model.size) == (stored.digest, stored.size)
    assert model.modified_at == stored.modified_at
    assert model.path.read_bytes().startswith(b"GGUF")
    assert model.template == "{{ .Prompt }}"
    assert model.system == "Be brief."
    assert model.params == {"temperature": 0.5, "stop": ["a"]}
    assert model.messages == (Message("user", "hi"), Message("assistant", "ho"))
    assert model.licenses == ("MIT", "Apache")
    assert model.config == read_config(store, stored)
    assert model.config.model_family == "llama"
    assert (model.projectors, model.adapters, model.drafts, model.parent) == ((), (), (), "")


def test_a_model_that_is_not_here_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError, match=r"^model 'absent:latest' not found$"):
        open_model(store, parse_name("absent"))


@pytest.mark.parametrize("number", range(6))
def test_a_missing_layer_is_named_with_the_remedy(store: Store, number: int) -> None:
    manifest = store.manifest(parse_name("full")).manifest
    layer = (manifest.config, *manifest.layers)[number]
    store.blob_path(layer.digest).unlink()
    with pytest.raises(StoreError) as caught:
        open_model(store, parse_name("full"))
    sentence = caught.value.sentence
    assert "model 'Full:latest' is incomplete and has to be pulled or created again" in sentence
    assert store.blob_path(layer.digest).name in sentence


def test_a_damaged_layer_is_named(store: Store) -> None:
    put(store, "bad", b"{not json", b"model")
    with pytest.raises(StoreError, match="config cannot be used"):
        open_model(store, parse_name("bad"))
    with pytest.raises(StoreError, match="config cannot be used"):
        read_config(store, store.manifest(parse_name("bad")))
    config = store.write_blob(b"{}", CONFIG_TYPE)
    layers = (store.write_blob(b"m", MODEL_TYPE), store.write_blob(b"[1]", PARAMS_TYPE))
    store.write_manifest(parse_name("bad"), encode_manifest(config, layers))
    with pytest.raises(StoreError, match="parameters cannot be used"):
        open_model(store, parse_name("bad"))


def test_a_model_without_a_gguf_is_refused(store: Store) -> None:
    put(store, "remote", b'{"remote_host":"https://h"}')
    with pytest.raises(BadRequestError, match="has no GGUF file"):
        open_model(store, parse_name("remote"))


def test_an_oversized_layer_is_not_read(store: Store) -> None:
    config = store.write_blob(b"{}", CONFIG_TYPE)
    model = store.write_blob(b"m", MODEL_TYPE)
    system = store.write_blob(b"x" * ((16 << 20) + 1), "application/vnd.ollama.image.system")
    layers = (model, Layer(system.media_type, system.digest, 3))
    store.write_manifest(parse_name("big"), encode_manifest(config, layers))
    with pytest.raises(StoreError, match="is larger than"):
        open_model(store, parse_name("big"))

"""Models with several adapters: made, shown, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gguf_maker import CHATML, make_adapter, make_successor_model
from model_maker import make

from ayllu.errors import BadRequestError
from ayllu.models import describe, siblings
from ayllu.models.create import CreateRequest
from ayllu.models.manifest import ADAPTER_TYPE, MODEL_TYPE
from ayllu.models.model import open_model
from ayllu.models.modelfile import MOST_ADAPTERS, parse_modelfile
from ayllu.models.name import parse_name
from ayllu.models.siblings import sibling_adapters
from ayllu.models.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def gguf(store: Store, tmp_path: Path) -> str:
    """The digest of a model's file in the store."""
    path = make_successor_model(tmp_path / "x.gguf", chat_template=CHATML)
    return store.add_file(path, MODEL_TYPE).digest


def adapter(store: Store, **successor: str) -> str:
    path = make_adapter(store.root.parent / "lora.gguf", successor)
    return store.add_file(path, ADAPTER_TYPE).digest


def test_a_model_has_several_adapters_and_a_scale_for_each(store: Store, gguf: str) -> None:
    digests = [adapter(store, a=letter) for letter in "bcd"]
    request = CreateRequest(
        files={"x.gguf": gguf},
        adapters={"z.gguf": digests[0], "a.gguf": digests[1]},
        parameters={"adapter_scale": [0.5, 2]},
    )
    make(store, "two", request)
    model = open_model(store, parse_name("two"))
    assert model.adapters == tuple(map(store.blob_path, digests[:2]))
    assert model.params == {"adapter_scale": [0.5, 2.0]}
    written = parse_modelfile(describe.modelfile_text(model))
    assert written.all("adapter") == tuple(map(str, model.adapters))
    assert written.parameters() == model.params
    third = CreateRequest(
        from_="two", adapters={"c": digests[2]}, parameters={"adapter_scale": -0.25}
    )
    make(store, "three", third)
    model = open_model(store, parse_name("three"))
    assert model.adapters == tuple(map(store.blob_path, digests))
    assert model.params == {"adapter_scale": [-0.25]}


@pytest.mark.parametrize(
    ("scales", "sentence"),
    [
        ([1, 1], "adapter_scale names more scales (2) than the model has adapters (1)"),
        ([101], 'option "adapter_scale" is out of range: at most 100'),
        (["1"], 'option "adapter_scale" must be of type array'),
        ({}, 'option "adapter_scale" must be of type array'),
        ([True], 'option "adapter_scale" must be of type array'),
        ([1e300], 'option "adapter_scale" is out of range'),
    ],
)
def test_scales_that_do_not_fit_are_refused(
    store: Store, gguf: str, scales: Any, sentence: str
) -> None:
    request = CreateRequest(
        files={"x.gguf": gguf},
        adapters={"a": adapter(store)},
        parameters={"adapter_scale": scales},
    )
    with pytest.raises(BadRequestError) as caught:
        make(store, "x", request)
    assert caught.value.sentence == sentence


def test_a_model_has_no_more_adapters_than_an_engine_takes(store: Store, gguf: str) -> None:
    digests = [adapter(store, a=chr(letter)) for letter in range(98, 98 + MOST_ADAPTERS + 1)]
    named = {digest.removeprefix("sha256:"): digest for digest in digests}
    request = CreateRequest(files={"x.gguf": gguf}, adapters=named)
    with pytest.raises(BadRequestError, match="may have 16 adapters, and this has 17"):
        make(store, "x", request)


def test_an_engine_takes_along_what_other_models_have_for_the_same_weights(
    store: Store, gguf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, new, old = (adapter(store, a=letter) for letter in "bcd")
    other = make_successor_model(store.root.parent / "o.gguf", chat_template=CHATML, context=300)
    make(store, "other", CreateRequest(files={"o": store.add_file(other, MODEL_TYPE).digest}))
    make(store, "elsewhere", CreateRequest(from_="other", adapters={"b": adapter(store, a="e")}))
    make(store, "base", CreateRequest(files={"x": gguf}))
    for name, digest in (("old", old), ("new", new), ("mine", own)):
        make(store, name, CreateRequest(from_="base", adapters={"a": digest}))
    model = open_model(store, parse_name("mine"))
    paths = [store.blob_path(digest) for digest in (own, new, old)]
    assert sibling_adapters(store, model) == tuple(paths)
    monkeypatch.setattr(siblings, "LEAST_ROOM", 2 * paths[0].stat().st_size)
    monkeypatch.setattr(siblings, "SHARE", 0)
    assert sibling_adapters(store, model) == tuple(paths[:2])
    paths[1].unlink()
    assert sibling_adapters(store, model) == (paths[0], paths[2])

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from gguf_maker import CHATML, make_adapter, make_successor_model
from gguf_writer import Typed, gguf_bytes, write_gguf
from model_maker import files_of, make, put

from ayllu.errors import (
    AylluError,
    BadRequestError,
    EngineMissingError,
    NotFoundError,
    TemplateError,
    TooLargeError,
)
from ayllu.models.create import CreateRequest, create
from ayllu.models.manifest import ADAPTER_TYPE, DRAFT_TYPE, LICENSE_TYPE, MODEL_TYPE, PROJECTOR_TYPE
from ayllu.models.model import open_model, read_config
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.models.tools import Tools
from ayllu.types import Message, ModelConfig

ROW = {"t": np.zeros((2, 32), np.float32)}
HEX = "0123456789abcdef" * 4


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def gguf(store: Store, tmp_path: Path) -> str:
    """The digest of a model's file in the store."""
    path = make_successor_model(tmp_path / "x.gguf", chat_template=CHATML)
    return store.add_file(path, MODEL_TYPE).digest


def blob(store: Store, kvs: dict[str, Any]) -> str:
    return store.write_blob(gguf_bytes(kvs, ROW), MODEL_TYPE).digest


def adapter(store: Store, architecture: str = "llama", **successor: str) -> str:
    path = make_adapter(store.root.parent / "lora.gguf", successor, architecture=architecture)
    return store.add_file(path, ADAPTER_TYPE).digest


def test_a_model_is_made_of_a_gguf(store: Store, gguf: str) -> None:
    statuses = make(store, "mini", CreateRequest(files={"x.gguf": gguf}, system="Be brief."))
    stored = store.manifest(parse_name("mini"))
    assert [layer.media_type.rpartition(".")[2] for layer in stored.manifest.layers] == [
        "model",
        "system",
    ]
    model, system = stored.manifest.layers
    assert statuses == [
        "parsing GGUF",
        f"using existing layer {model.digest}",
        f"creating new layer {system.digest}",
        "writing manifest",
        "success",
    ]
    assert (model.digest, model.size) == (gguf, store.blob_path(gguf).stat().st_size)
    assert open_model(store, parse_name("mini")).template is None
    assert read_config(store, stored) == ModelConfig(
        model_format="gguf",
        model_family="llama",
        model_families=("llama",),
        model_type="364K",
        file_type="F32",
        context_length=512,
        embedding_length=288,
        architecture="amd64",
        os="linux",
    )


def test_a_model_made_from_another_takes_over_and_replaces(store: Store, gguf: str) -> None:
    base = CreateRequest(
        files={"x.gguf": gguf},
        template="{{ .Prompt }}",
        system="Be brief.",
        license="MIT",
        parameters={"temperature": 1, "stop": ["a"]},
        messages=(Message("user", "hi"),),
        renderer="qwen3.5",
        requires="v0.2.0",
    )
    make(store, "base", base)
    make(store, "same", CreateRequest(from_="BASE"))
    same = open_model(store, parse_name("same"))
    assert (same.template, same.system, same.licenses) == ("{{ .Prompt }}", "Be brief.", ("MIT",))
    assert same.parent == "base:latest"
    assert (same.config.renderer, same.config.requires) == ("qwen3.5", "0.2.0")
    changes = CreateRequest(
        from_="base:latest",
        template="{{ .System }}{{ .Prompt }}",
        license=("Apache", "MIT"),
        parameters={"temperature": 0.5, "num_ctx": 64.9, "top_p": None, "mirostat": 1},
        messages=(Message("user", "new"),),
        parser="qwen3",
    )
    make(store, "child", changes)
    child = open_model(store, parse_name("child"))
    assert child.path == same.path
    assert child.template == "{{ .System }}{{ .Prompt }}"
    assert child.system == "Be brief."
    assert child.licenses == ("MIT", "Apache")
    assert child.params == {"temperature": 0.5, "num_ctx": 64, "stop": ["a"]}
    assert child.messages == (Message("user", "new"),)
    assert (child.config.renderer, child.config.parser) == ("qwen3.5", "qwen3")
    assert child.config.model_type == "364K"


def test_a_model_made_anew_drops_its_old_layers(store: Store, gguf: str) -> None:
    make(store, "mini", CreateRequest(files={"x.gguf": gguf}, system="old"))
    old = store.manifest(parse_name("mini"))
    make(store, "MINI", CreateRequest(from_="mini", system="new"))
    new = store.manifest(parse_name("mini"))
    assert new.name == old.name
    assert not store.has_blob(old.manifest.layers[1].digest)
    assert store.has_blob(gguf)
    assert open_model(store, parse_name("mini")).system == "new"
    assert store.prune(age=-1) == ()


def test_adapters_projectors_and_drafts_become_layers(store: Store, gguf: str) -> None:
    projector = blob(store, {"general.architecture": "clip", "clip.has_vision_encoder": True})
    lora = adapter(store)
    request = CreateRequest(
        files={"x.gguf": gguf, "mmproj.gguf": projector},
        adapters={"a/lora.gguf": lora},
        draft_files={"d.gguf": gguf},
    )
    make(store, "all", request)
    model = open_model(store, parse_name("all"))
    assert model.projectors == (store.blob_path(projector),)
    assert model.adapters == (store.blob_path(lora),)
    assert model.drafts == (model.path,)
    assert model.config.model_families == ("llama", "clip")
    make(store, "plain", CreateRequest(files={"x.gguf": gguf}))
    make(store, "seeing", CreateRequest(from_="plain", files={"p": projector}))
    make(store, "tuned", CreateRequest(from_="all", adapters={"b": adapter(store, a="b")}))
    kinds = [layer.media_type for layer in store.manifest(parse_name("seeing")).manifest.layers]
    assert kinds == [MODEL_TYPE, PROJECTOR_TYPE]
    kinds = [layer.media_type for layer in store.manifest(parse_name("tuned")).manifest.layers]
    assert kinds == [MODEL_TYPE, PROJECTOR_TYPE, ADAPTER_TYPE, DRAFT_TYPE, ADAPTER_TYPE]
    make(store, "same", CreateRequest(from_="all", adapters={"b": lora}))
    assert open_model(store, parse_name("same")).adapters == (store.blob_path(lora),)


def test_a_draft_is_a_model_of_the_store_and_stays_with_what_is_made_of_it(
    store: Store, gguf: str
) -> None:
    make(store, "small", CreateRequest(files={"x.gguf": gguf}))
    make(store, "big", CreateRequest(files={"x.gguf": gguf}, draft="SMALL"))
    make(store, "child", CreateRequest(from_="big", system="hi"))
    for name in ("big", "child"):
        assert open_model(store, parse_name(name)).drafts == (store.blob_path(gguf),)
    layers = store.manifest(parse_name("big")).manifest.layers
    assert [(layer.media_type, layer.from_) for layer in layers] == [
        (MODEL_TYPE, ""),
        (DRAFT_TYPE, "small:latest"),
    ]


def test_without_its_program_nothing_is_quantized(store: Store, gguf: str) -> None:
    request = CreateRequest(files={"x.gguf": gguf}, quantize="q8_0")
    with pytest.raises(EngineMissingError, match="there is no llama-quantize: run `make setup`"):
        make(store, "x", request)

    async def run() -> None:
        programs = (store.root / f"llama-{name}" for name in ("quantize", "imatrix"))
        quantize, imatrix = programs
        tools = Tools(quantize=quantize, imatrix=imatrix, export_lora=quantize)
        async for _ in create(store, parse_name("x"), request, tools=tools):
            pass

    with pytest.raises(EngineMissingError, match=r"there is no llama-quantize in .*: run"):
        asyncio.run(run())


GOOD = {"x.gguf": f"sha256:{HEX}"}
PATHS = ["../x", "/etc/passwd", "a/../x", "./x", "", "a//b", "a/", "C:\\x", "a\\..\\x", "c:x", "\0"]
REFUSED: list[tuple[CreateRequest, str]] = [
    (CreateRequest(), "neither 'from' or 'files' was specified"),
    (CreateRequest(adapters=GOOD), "neither 'from' or 'files' was specified"),
    *(
        (CreateRequest(files={path: f"sha256:{HEX}"}), "file path must be relative")
        for path in PATHS
    ),
    *(
        (CreateRequest(from_="m", adapters={path: f"sha256:{HEX}"}), "file path must be relative")
        for path in PATHS
    ),
    (CreateRequest(files={"x": ""}), "invalid digest format"),
    (CreateRequest(files={"x": "sha256:../../x"}), "invalid digest format"),
    (CreateRequest(from_="m", adapters={"x": "sha256:12"}), "invalid digest format"),
    (CreateRequest(from_="m", draft_files={"x": "sha256:12"}), "invalid digest format"),
    (CreateRequest(from_="../../etc/passwd"), "invalid model name"),
    (CreateRequest(from_="/dev/random"), "invalid model name"),
    (CreateRequest(files=GOOD, quantize="q9"), "unsupported quantization type Q9 - supported"),
    (CreateRequest(files=GOOD, quantization="15"), "unsupported quantization type 15 - supported"),
    (CreateRequest(files=GOOD, quantize="copy"), "unsupported quantization type COPY - supported"),
    (
        CreateRequest(files=GOOD, draft="m", draft_quantize="q"),
        "unsupported quantization type Q - supported types are F32, F16, Q4_0, ",
    ),
    (CreateRequest(files=GOOD, draft="m", draft_files=GOOD), "only one DRAFT model is supported"),
    (
        CreateRequest(files=GOOD, draft_files={"a": GOOD["x.gguf"], "b": GOOD["x.gguf"]}),
        "only one DRAFT model is supported",
    ),
    (CreateRequest(from_="m", draft_quantize="q4_0"), "--draft-quantize requires a DRAFT model"),
    (CreateRequest(from_="m", remote_host="https://h"), "models on other hosts are not supported"),
    (CreateRequest(from_="m", requires="new"), "requires must be a valid semver (e.g. 0.14.0)"),
    (CreateRequest(from_="m", template="{{ if"), "template error: "),
    (CreateRequest(from_="m", renderer="gemma9"), 'unknown renderer "gemma9"'),
    (CreateRequest(from_="m", parser="gemma9"), 'unknown parser "gemma9"'),
    (CreateRequest(from_="m", parameters={"foo": 1}), "unknown parameter 'foo'"),
    (
        CreateRequest(from_="m", parameters={"num_ctx": "4k"}),
        'option "num_ctx" must be of type integer',
    ),
    (CreateRequest(from_="m", parameters={"top_p": True}), "must be of type float32"),
    (CreateRequest(from_="m", parameters={"use_mmap": 1}), "must be of type boolean"),
    (CreateRequest(from_="m", parameters={"stop": [1]}), "must be of type array"),
    (
        CreateRequest(from_="m", messages=(Message("tool", "x"),)),
        'message role must be one of "system", "user", or "assistant"',
    ),
]


@pytest.mark.parametrize(("request_", "sentence"), REFUSED)
def test_what_is_wrong_is_said_before_anything_is_done(
    store: Store, request_: CreateRequest, sentence: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        make(store, "x", request_)
    assert sentence in caught.value.sentence
    assert files_of(store.root) == set()


@pytest.mark.parametrize(
    ("architecture", "name", "stop"),
    [
        ("gemma4", "gemma4", ["<turn|>"]),
        ("laguna", "laguna", None),
        ("nemotron_h_moe", "nemotron-3-nano", None),
        ("llama", "", None),
    ],
)
def test_an_architecture_has_its_usual_renderer_and_parser(
    store: Store, architecture: str, name: str, stop: list[str] | None
) -> None:
    kvs = {"general.architecture": architecture, f"{architecture}.block_count": 1}
    files = {"x": blob(store, kvs | {"tokenizer.chat_template": "{{ messages }}"})}
    make(store, "m", CreateRequest(files=files))
    model = open_model(store, parse_name("m"))
    assert (model.config.renderer, model.config.parser) == (name, name)
    assert model.params.get("stop") == stop
    assert model.template is None
    make(store, "own", CreateRequest(files=files, template="{{ .Prompt }}"))
    assert open_model(store, parse_name("own")).config.renderer == ""
    make(store, "base", CreateRequest(files={"x": blob(store, kvs)}))
    assert open_model(store, parse_name("base")).config.renderer == ""


def test_a_template_error_stays_one(store: Store) -> None:
    with pytest.raises(TemplateError, match=r"^template error: "):
        make(store, "x", CreateRequest(from_="m", template="{{ .A"))


def test_a_base_that_is_not_here_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError, match="model 'absent:latest' not found"):
        make(store, "x", CreateRequest(from_="absent"))


def test_files_are_checked_before_they_become_a_model(store: Store, gguf: str) -> None:
    whole = store.blob_path(gguf).read_bytes()
    base = {"general.architecture": "llama", "llama.block_count": 1}
    cases: list[tuple[CreateRequest, str]] = [
        (CreateRequest(files=GOOD), "the file x.gguf is not here: send sha256:"),
        (files(store, b"PK\x03\x04 no model"), "supplied file was not in GGUF format"),
        (files(store, whole[:-100]), "m.gguf is truncated"),
        (files(store, whole[:1000]), "m.gguf is truncated"),
        (files(store, b"GGUF"), "m.gguf is truncated"),
        (files(store, gguf_bytes({"a": 1}, ROW)), "does not say its architecture"),
        (files(store, gguf_bytes(base)), "holds no tensors"),
        (files(store, gguf_bytes(base | {"llama.block_count": 0}, ROW)), "nothing of its layers"),
        (
            files(store, gguf_bytes(base | {"split.count": Typed(2, 2)}, ROW)),
            "the GGUF has a split.tensors.count that is not a whole number",
        ),
        (
            CreateRequest(
                files={"a": gguf},
                draft_files={"b": blob(store, base | {"split.count": Typed(2, 2)})},
            ),
            "b is a part of a model: give all parts",
        ),
        (CreateRequest(files={"m.safetensors": gguf}), "m.safetensors is not a safetensors file"),
        (CreateRequest(files={"a": gguf, "b": gguf}), "the files hold two models"),
        (CreateRequest(files={"a": adapter(store)}), "the files hold no model"),
        (CreateRequest(files={"a": gguf}, adapters={"b": gguf}), "b is not a LoRA adapter"),
        (
            CreateRequest(files={"a": gguf}, adapters={"b": adapter(store, "gpt2")}),
            "b is an adapter for gpt2 models, and this one is llama",
        ),
        (
            CreateRequest(files={"b": adapter(store, "gpt2"), "a": gguf}),
            "b is an adapter for gpt2 models, and this one is llama",
        ),
        (
            CreateRequest(files={"a": gguf}, draft_files={"b": adapter(store)}),
            "b is not a model that could draft",
        ),
    ]
    for request, sentence in cases:
        with pytest.raises(BadRequestError) as caught:
            make(store, "x", request)
        assert sentence in caught.value.sentence
        assert "sha256-" not in caught.value.sentence
    make(store, "base", CreateRequest(files={"a": gguf}))
    with pytest.raises(BadRequestError, match="'from' names the model already: b is one too many"):
        make(store, "x", CreateRequest(from_="base", files={"b": gguf}))
    with pytest.raises(TooLargeError, match="the system is larger than"):
        make(store, "x", CreateRequest(from_="base", system="x" * (16 << 20) + "x"))
    assert [name.model for name in store.names()] == ["base"]


def files(store: Store, data: bytes) -> CreateRequest:
    return CreateRequest(files={"m.gguf": store.write_blob(data, MODEL_TYPE).digest})


def test_an_incomplete_base_is_refused(store: Store, gguf: str) -> None:
    make(store, "base", CreateRequest(files={"a": gguf}, license="MIT"))
    for layer in store.manifest(parse_name("base")).manifest.layers:
        if layer.media_type == LICENSE_TYPE:
            store.blob_path(layer.digest).unlink()
    with pytest.raises(BadRequestError, match="model 'base' is incomplete"):
        make(store, "x", CreateRequest(from_="base"))


def test_a_create_that_is_given_up_leaves_no_model_and_no_lock(store: Store, gguf: str) -> None:
    async def give_up() -> None:
        lines = create(store, parse_name("x"), CreateRequest(files={"a": gguf}, system="hi"))
        while (await anext(lines)).status != "writing manifest":
            pass
        await lines.aclose()

    asyncio.run(give_up())
    assert store.names() == ()
    assert len(store.prune(age=-1)) == 3


def test_a_request_is_read_from_ollamas_json() -> None:
    data = {
        "from": "m",
        "license": "MIT",
        "messages": [{"role": "user", "content": "x"}],
        "parameters": {"top_k": 1},
        "stream": False,
    }
    request = msgspec.json.decode(json.dumps(data).encode(), type=CreateRequest)
    assert request.from_ == "m"
    assert request.license == "MIT"
    many = msgspec.json.decode(b'{"files":{"a":"b"},"license":["a","b"]}', type=CreateRequest)
    assert many.license == ("a", "b")


def test_real_models_from_elsewhere_become_models(store: Store, tmp_path: Path) -> None:
    """A store that Ollama wrote: its manifests and configs open here."""
    path = write_gguf(tmp_path / "x.gguf", {"general.architecture": "llama"}, ROW)
    store.add_file(path, MODEL_TYPE)
    config = (
        b'{"model_format":"gguf","model_family":"llama","model_families":["llama"],'
        b'"model_type":"8.0B","file_type":"Q4_K_M","architecture":"amd64","os":"linux",'
        b'"rootfs":{"type":"layers","diff_ids":["sha256:00"]}}'
    )
    put(store, "llama3:8b", config, path.read_bytes())
    model = open_model(store, parse_name("LLAMA3:8B"))
    assert model.config.model_type == "8.0B"
    with pytest.raises(AylluError):
        open_model(store, parse_name("llama3"))

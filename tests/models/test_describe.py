from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from gguf_maker import CHATML, CHATML_TOOLS_THINK, make_successor_model
from gguf_writer import gguf_bytes
from model_maker import make, put

from ayllu.errors import GGUFError
from ayllu.gguf.read import read_header
from ayllu.models.create import CreateRequest
from ayllu.models.describe import (
    capabilities,
    model_info,
    modelfile_text,
    parameters_text,
    show,
    tags_model,
)
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.model import open_model, read_config
from ayllu.models.modelfile import parse_modelfile
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.models.templates import go_template_capabilities
from ayllu.types import Message

THINKS = (
    "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"
    "{{ .Content }}{{ end }}"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def model_file(store: Store, tmp_path: Path, chat_template: str | None = CHATML) -> str:
    path = make_successor_model(tmp_path / "x.gguf", chat_template=chat_template)
    return store.add_file(path, MODEL_TYPE).digest


def wire(struct: Any) -> Any:
    return json.loads(msgspec.json.encode(struct))


def test_a_row_of_the_list_has_ollamas_fields(store: Store, tmp_path: Path) -> None:
    make(store, "me/Mini:q", CreateRequest(files={"x": model_file(store, tmp_path)}))
    stored = store.manifest(parse_name("me/mini:q"))
    row = wire(tags_model(stored, read_config(store, stored)))
    assert row.pop("modified_at").startswith("20")
    assert row == {
        "name": "me/Mini:q",
        "model": "me/Mini:q",
        "size": stored.size,
        "digest": stored.digest,
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "364K",
            "quantization_level": "F32",
            "context_length": 512,
            "embedding_length": 288,
        },
    }


def test_a_model_on_another_host_is_still_listed(store: Store) -> None:
    put(store, "far", b'{"remote_host":"https://h","remote_model":"m","capabilities":["tools"]}')
    stored = store.manifest(parse_name("far"))
    row = wire(tags_model(stored, read_config(store, stored)))
    assert (row["remote_host"], row["remote_model"]) == ("https://h", "m")
    assert row["capabilities"] == ["tools"]
    assert row["details"]["families"] is None


def test_show_leaves_out_what_is_not_there(store: Store, tmp_path: Path) -> None:
    make(store, "mini", CreateRequest(files={"x": model_file(store, tmp_path)}))
    shown = wire(show(open_model(store, parse_name("mini"))))
    assert set(shown) == {"modelfile", "details", "model_info", "capabilities", "modified_at"}
    assert shown["capabilities"] == ["completion"]
    info = shown["model_info"]
    assert list(info) == sorted(info)
    assert info["general.parameter_count"] == 363744
    assert info["tokenizer.ggml.tokens"] is None
    assert "general.name" not in info
    assert "tokenizer.chat_template" not in info


def test_show_has_everything_when_asked(store: Store, tmp_path: Path) -> None:
    request = CreateRequest(
        files={"x": model_file(store, tmp_path)},
        template="{{ .Prompt }}",
        system="Be brief.",
        license=("MIT", "Apache"),
        parameters={"temperature": 1, "top_p": 0.25, "stop": ["<a>", "b\n"], "use_mmap": True},
        messages=(Message("user", "hi"),),
        renderer="qwen3.5",
        parser="qwen3",
        requires="v0.1.0",
    )
    make(store, "mini", request)
    model = open_model(store, parse_name("mini"))
    shown = wire(show(model, verbose=True))
    assert shown["license"] == "MIT\nApache"
    assert shown["template"] == "{{ .Prompt }}"
    assert shown["messages"] == [{"role": "user", "content": "hi"}]
    assert (shown["renderer"], shown["parser"], shown["requires"]) == ("qwen3.5", "qwen3", "0.1.0")
    assert len(shown["model_info"]["tokenizer.ggml.tokens"]) == 262
    assert {"name": "output_norm.weight", "type": "F32", "shape": [288]} in shown["tensors"]
    assert shown["parameters"].splitlines() == [
        'stop                           "<a>"',
        'stop                           "b\\n"',
        "temperature                    1",
        "top_p                          0.25",
        "use_mmap                       true",
    ]


def test_the_shown_modelfile_makes_the_same_model(store: Store, tmp_path: Path) -> None:
    request = CreateRequest(
        files={"x": model_file(store, tmp_path)},
        template='{{ .Prompt }}\n"quoted"',
        system=" spaced ",
        license="MIT\nlong",
        parameters={"temperature": 0.5, "stop": ["a", " b"], "num_ctx": 64},
        messages=(Message("user", "a: b"), Message("assistant", "c\nd")),
    )
    make(store, "mini", request)
    model = open_model(store, parse_name("mini"))
    text = modelfile_text(model)
    assert text.splitlines()[:5] == [
        '# Modelfile generated by "ollama show"',
        "# To build a new Modelfile based on this, replace FROM with:",
        "# FROM mini:latest",
        "",
        f"FROM {model.path}",
    ]
    parsed = parse_modelfile(text)
    assert parsed.last("template") == model.template
    assert parsed.last("system") == model.system
    assert parsed.all("license") == model.licenses
    assert parsed.parameters() == model.params
    turns = [(c.key, c.value) for c in parsed.commands if c.name == "message"]
    assert turns == [("user", "a: b"), ("assistant", "c\nd")]


def test_numbers_are_written_as_go_writes_them() -> None:
    lines = parameters_text({"temperature": 1.0, "top_p": 0.95, "seed": -1}).split("\n")
    assert [line.split() for line in lines] == [
        ["seed", "-1"],
        ["temperature", "1"],
        ["top_p", "0.95"],
    ]
    assert parameters_text({}) == ""


@pytest.mark.parametrize(
    ("jinja", "template", "found"),
    [
        (None, "", ("completion",)),
        (CHATML, "", ("completion",)),
        (CHATML_TOOLS_THINK, "", ("completion", "tools", "thinking")),
        (CHATML_TOOLS_THINK, "{{ .Prompt }}", ("completion", "tools", "thinking")),
        (CHATML_TOOLS_THINK, "{{ .Suffix }}", ("completion", "insert")),
        (CHATML, "{{ .Tools }}{{ .Suffix }}", ("completion", "tools", "insert")),
        (None, THINKS, ("completion", "thinking")),
    ],
)
def test_the_template_in_use_tells_what_a_model_can_do(
    store: Store, tmp_path: Path, jinja: str | None, template: str, found: tuple[str, ...]
) -> None:
    digest = model_file(store, tmp_path, jinja)
    make(store, "mini", CreateRequest(files={"x": digest}, template=template))
    assert capabilities(open_model(store, parse_name("mini"))) == found


def test_config_and_projector_add_to_it(store: Store, tmp_path: Path) -> None:
    row = {"t": np.zeros((2, 32), np.float32)}
    kvs = {"general.architecture": "clip", "clip.has_audio_encoder": True}
    kvs["clip.has_vision_encoder"] = True
    projector = store.write_blob(gguf_bytes(kvs, row), MODEL_TYPE).digest
    digest = model_file(store, tmp_path, None)
    make(store, "mini", CreateRequest(files={"x": digest, "p": projector}))
    model = open_model(store, parse_name("mini"))
    assert capabilities(model) == ("completion", "vision", "audio")
    config = msgspec.structs.replace(
        model.config, capabilities=("tools", "odd"), model_family="gptoss"
    )
    harmony = msgspec.structs.replace(model, config=config)
    assert capabilities(harmony) == ("completion", "vision", "audio", "tools", "thinking")
    assert wire(show(model))["projector_info"]["general.architecture"] == "clip"


def test_a_stored_template_that_does_not_parse_can_do_nothing() -> None:
    assert go_template_capabilities("{{ if") == frozenset()


def test_a_damaged_file_is_said_to_be(store: Store) -> None:
    put(store, "bad", b"{}", b"not a GGUF")
    with pytest.raises(GGUFError, match="is not a GGUF file"):
        show(open_model(store, parse_name("bad")))


def test_model_info_has_items_only_when_verbose(tmp_path: Path) -> None:
    header = read_header(make_successor_model(tmp_path / "x.gguf"))
    assert model_info(header)["tokenizer.ggml.token_type"] is None
    assert model_info(header, verbose=True)["tokenizer.ggml.token_type"][256] == 3


MARKS = {f"tokenizer.ggml.fim_{name}_token_id": 258 for name in ("pre", "suf", "mid")}


@pytest.mark.parametrize(
    ("extra", "capability"),
    [({}, None), (MARKS, "insert"), (MARKS | {"llama.pooling_type": 1}, None)],
)
def test_a_vocabulary_tells_whether_a_model_can_fill_in(
    store: Store, tmp_path: Path, extra: dict[str, Any], capability: str | None
) -> None:
    path = make_successor_model(tmp_path / "x.gguf", extra=extra)
    make(store, "m", CreateRequest(files={"x": store.add_file(path, MODEL_TYPE).digest}))
    found = capabilities(open_model(store, parse_name("m")))
    assert ("insert" in found) is (capability is not None)


def test_a_draft_is_described(store: Store, tmp_path: Path) -> None:
    digest = model_file(store, tmp_path)
    make(store, "m", CreateRequest(files={"x": digest}, draft_files={"d": digest}))
    info = wire(show(open_model(store, parse_name("m"))))["draft_info"]
    assert list(info) == sorted(info)
    assert (info["general.name"], info["general.quantization"]) == ("successor", "F32")
    assert info["general.parameter_count"] == 363744

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from gguf_maker import make_adapter
from gguf_writer import gguf_bytes, write_gguf
from hf_maker import write_safetensors

from ayllu.errors import BadRequestError
from ayllu.gguf.read import read_header
from ayllu.models.foreign import (
    adapter_groups,
    foreign_adapter,
    foreign_base,
    foreign_model,
    laid_out,
)
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.store import Store

LORA = {"peft_type": "LORA", "lora_alpha": 16, "r": 4}
CONFIG = b'{"architectures": ["LlamaForCausalLM"]}'
NEW = b'{"architectures": ["NewForCausalLM"], "text_config": {"architectures": 5}}'
TALL = b'{"architectures": ["LlamaForCausalLM"], "text_config": {"n_layers": 1000000000000}}'
ZIP = b"PK\x03\x04"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    path = tmp_path / "some.safetensors"
    return write_safetensors(path, {"a": np.zeros((2, 3), np.float32)}).read_bytes()


def put(store: Store, files: dict[str, bytes]) -> dict[str, str]:
    """The digests of some blobs by the names of files."""
    return {name: store.write_blob(data, MODEL_TYPE).digest for name, data in files.items()}


def test_ggufs_are_left_alone(store: Store) -> None:
    gguf = gguf_bytes({"general.architecture": "llama"})
    assert foreign_model(store, put(store, {"a.gguf": gguf, "b.bin": gguf})) is None
    assert foreign_adapter(store, put(store, {"a.gguf": gguf})) is None
    assert foreign_model(store, {}) is None


def test_a_folder_is_laid_out_as_it_was(store: Store, weights: bytes) -> None:
    files = {
        "config.json": CONFIG,
        "model.safetensors": weights,
        "tokenizer.json": b"{}",
        "2_Dense/model.safetensors": weights,
        "chat_template.jinja": b"x",
        "modeling.py": b"raise SystemExit",
        "README": b"# no",
    }
    found = foreign_model(store, put(store, files))
    assert found is not None
    assert found.weight_bytes == 2 * len(weights)
    assert found.ggufs == {}
    with laid_out(found, "name") as folder:
        there = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        assert folder.name == "name"
    assert there == {k: v for k, v in files.items() if k not in {"modeling.py", "README"}}
    assert not folder.parent.exists()


def test_a_folder_within_a_folder_is_found(store: Store, weights: bytes) -> None:
    gguf = gguf_bytes({"general.architecture": "clip"})
    model = {"config.json": CONFIG, "model.safetensors": weights, "tokenizer.model": b"x"}
    files = {f"m/{name}": data for name, data in model.items()} | {"mmproj.gguf": gguf}
    digests = put(store, files)
    found = foreign_model(store, digests)
    assert found is not None
    assert set(found.links) == set(model)
    assert found.ggufs == {"mmproj.gguf": digests["mmproj.gguf"]}


def test_names_that_an_index_knows_stay(store: Store, weights: bytes) -> None:
    index = {"weight_map": {"a": "weights-1.safetensors"}}
    files = {
        "config.json": CONFIG,
        "tokenizer.json": b"{}",
        "weights-1.safetensors": weights,
        "model.safetensors.index.json": json.dumps(index).encode(),
    }
    found = foreign_model(store, put(store, files))
    assert found is not None
    assert set(found.links) == set(files)


@pytest.mark.parametrize(
    ("name", "linked"),
    [
        ("consolidated.00.safetensors", "model-consolidated.00.safetensors"),
        ("weights.safetensors", "model-weights.safetensors"),
        ("pytorch_model.bin", "pytorch_model.bin"),
        ("consolidated.00.pth", "pytorch_model-consolidated.00.bin"),
    ],
)
def test_weights_get_the_names_that_the_converter_looks_for(
    store: Store, weights: bytes, name: str, linked: str
) -> None:
    data = weights if name.endswith(".safetensors") else ZIP
    files = {"config.json": CONFIG, "tokenizer.json": b"{}", name: data}
    found = foreign_model(store, put(store, files))
    assert found is not None
    assert set(found.links) == {"config.json", "tokenizer.json", linked}


INDEX = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
OUTSIDE = json.dumps({"weight_map": {"a": "../../../etc/passwd"}})


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"model.safetensors": b""}, "model.safetensors is not a safetensors file"),
        (
            {"pytorch_model.bin": b"\x80\x02}q"},
            "pytorch_model.bin is no file of PyTorch's that can",
        ),
        ({"model.pth": b"cos\nsystem\n"}, "model.pth is no file of PyTorch's that can be read"),
        ({"pytorch_model.bin": ZIP}, "the files lack the model's config.json"),
        ({"pytorch_model.bin": ZIP, "config.json": CONFIG}, "the files lack a tokenizer"),
        ({"pytorch_model.bin": ZIP, "params.json": b"{}"}, "in Mistral's own format"),
        ({"pytorch_model.bin": ZIP, "config.json": b'{"a": 1}'}, "names no architecture"),
        ({"pytorch_model.bin": ZIP, "config.json": NEW}, "the architecture NewForCausalLM cannot"),
        ({"pytorch_model.bin": ZIP, "config.json": TALL}, "claims 1000000000000 layers"),
        (
            {"pytorch_model.bin": ZIP, "config.json": b"{]"},
            "config.json is not a JSON object: JSON",
        ),
        ({"pytorch_model.bin": ZIP, "config.json": b"[]"}, "config.json is not a JSON object"),
        (
            {"pytorch_model.bin": ZIP, "config.json": b"[" * 100_000},
            "config.json is not a JSON object",
        ),
        ({"pytorch_model.bin": ZIP, "config.json": b'{"a":"\xff"}'}, "is not a JSON object"),
        ({"pytorch_model.bin": ZIP, "config.json": b" " * (16 << 20) + b"{}"}, "is larger than"),
        ({"model.safetensors.index.json": b'{"weight_map": 5}'}, "has no map of weights"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": 5}}'}, "has no map of weights"),
        ({"model.safetensors.index.json": INDEX.encode()}, "the files lack model-1.safetensors"),
        ({"model.safetensors.index.json": OUTSIDE.encode()}, "the files lack ../../../etc/passwd"),
    ],
)
def test_what_is_not_whole_is_said(store: Store, files: dict[str, bytes], sentence: str) -> None:
    whole = {"pytorch_model.bin": ZIP, "config.json": CONFIG, "tokenizer.json": b"{}"}
    more = whole if "index" in str(files) else {}
    with pytest.raises(BadRequestError) as caught:
        foreign_model(store, put(store, more | files))
    assert sentence in caught.value.sentence
    assert "sha256-" not in caught.value.sentence


def test_a_file_that_was_not_sent_is_asked_for(store: Store) -> None:
    digest = "sha256:" + "0" * 64
    with pytest.raises(BadRequestError, match=r"the file a/model\.safetensors is not here: send"):
        foreign_model(store, {"a/model.safetensors": digest})


@pytest.mark.parametrize("name", ["config.json/x.json", f"{'x' * 300}.json"])
def test_names_that_no_folder_can_have_are_told(store: Store, weights: bytes, name: str) -> None:
    files = {"config.json": CONFIG, "model.safetensors": weights, "vocab.txt": b"", name: b"{}"}
    found = foreign_model(store, put(store, files))
    assert found is not None
    with pytest.raises(BadRequestError, match="cannot be laid out: "), laid_out(found, "x"):
        pass


def adapter(store: Store, weights: bytes, **config: Any) -> dict[str, Any]:
    files = {
        "adapter_config.json": json.dumps(LORA | config).encode(),
        "adapter_model.safetensors": weights,
    }
    found = foreign_adapter(store, put(store, files))
    assert found is not None
    assert set(found.links) == {"adapter_model.safetensors"}
    written: dict[str, Any] = msgspec.json.decode(found.texts["adapter_config.json"])
    return written


def test_an_adapters_strength_comes_down_to_one_alpha(store: Store, weights: bytes) -> None:
    more = {"rank_pattern": {"q_proj": 8}, "target_modules": ["q_proj"], "bias": "none"}
    assert adapter(store, weights, **more) == LORA
    by_root = adapter(store, weights, use_rslora=True)
    assert math.isclose(by_root["lora_alpha"] / 4, 16 / math.sqrt(4))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"peft_type": "IA3"}, "of PEFT's type IA3: only LORA can be imported"),
        ({"use_dora": True}, "the adapter is a DoRA"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"alpha_pattern": {"q_proj": 3}}, "several alphas"),
        ({"lora_alpha": None}, "lacks lora_alpha or r"),
        ({"r": "8"}, "lacks lora_alpha or r"),
        ({"r": True}, "lacks lora_alpha or r"),
        ({"use_rslora": True, "rank_pattern": {"q": 2}}, "several ranks and use_rslora"),
        ({"use_rslora": True, "r": -4}, "r is not a positive number"),
        ({"r": 0}, "r is not a positive number"),
    ],
)
def test_adapters_that_no_gguf_can_hold_are_refused(
    store: Store, weights: bytes, config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        adapter(store, weights, **config)
    assert sentence in caught.value.sentence


def test_an_adapter_is_one_file_and_its_config(store: Store, weights: bytes) -> None:
    with pytest.raises(BadRequestError, match=r"lacks its adapter_config\.json"):
        foreign_adapter(store, put(store, {"adapter_model.safetensors": weights}))
    two = {"a.safetensors": weights, "b.safetensors": weights}
    with pytest.raises(BadRequestError, match="only one adapter is currently supported"):
        foreign_adapter(store, put(store, two))


def test_each_folder_is_an_adapter_of_its_own(store: Store, tmp_path: Path, weights: bytes) -> None:
    gguf = make_adapter(tmp_path / "a.gguf").read_bytes()
    files = put(
        store,
        {
            "z/adapter_model.safetensors": weights,
            "z/deep/state.json": b"{}",
            "other.json": b"{}",
            "z/b": gguf,
            "a/adapter_config.json": b"{}",
            "a/adapter_model.bin": b"PK\x03\x04",
        },
    )
    groups = [list(group) for group in adapter_groups(store, files)]
    assert groups == [
        ["z/adapter_model.safetensors", "z/deep/state.json"],
        ["z/b"],
        ["a/adapter_config.json", "a/adapter_model.bin"],
    ]
    assert adapter_groups(store, put(store, {"b": gguf, "a": gguf})) == [
        put(store, {"b": gguf, "a": gguf})
    ]


def test_a_base_is_described_by_its_header(tmp_path: Path) -> None:
    kvs = {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.attention.head_count": 8,
        "llama.attention.head_count_kv": 4,
    }
    header = read_header(write_gguf(tmp_path / "m.gguf", kvs))
    assert json.loads(foreign_base(header).texts["config.json"]) == {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
    }
    other = read_header(write_gguf(tmp_path / "n.gguf", {"general.architecture": "rwkv7"}))
    with pytest.raises(BadRequestError, match="together with the model's own folder"):
        foreign_base(other)

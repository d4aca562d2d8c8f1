from __future__ import annotations

import json
from typing import Any

import pytest

from ayllu.errors import BadRequestError
from ayllu.models.manifest import (
    MANIFEST_TYPE,
    ManifestError,
    digest_of,
    encode_config,
    encode_manifest,
    parse_config,
    parse_digest,
    parse_manifest,
    parse_messages,
    parse_params,
)
from ayllu.types import Layer, Message, ModelConfig

HEX = "0123456789abcdef" * 4
LAYER = {"mediaType": "m", "digest": f"sha256:{HEX}", "size": 1}

BAD_DIGESTS = [
    "",
    "sha256:",
    HEX,
    f"sha256:{HEX[:-1]}",
    f"sha256:{HEX}0",
    f"sha256-{HEX}a",
    f"md5:{HEX}",
    "sha256:../../../etc/passwd",
    f"sha256:../{HEX[3:]}",
    f"sha256-{'../' * 21}x",
    f"sha256%3A{HEX}",
    f"sha256:{HEX[:-3]}%2e",
    f"sha256:{HEX[:-1]}g",
    f"sha256:{HEX}\n",
    f" sha256:{HEX}",
    f"SHA256:{HEX}",
    f"sha256:{HEX[:-1]}\u0661",
    f"sha256/{HEX}",
]


@pytest.mark.parametrize("text", BAD_DIGESTS)
def test_anything_but_a_digest_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match=r"^invalid digest format$"):
        parse_digest(text)


def test_digests_have_one_form() -> None:
    assert parse_digest(f"sha256:{HEX}") == f"sha256:{HEX}"
    assert parse_digest(f"sha256-{HEX.upper()}") == f"sha256:{HEX}"
    assert digest_of(b"") == (
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_a_manifest_reads_back() -> None:
    config = Layer("c", f"sha256:{HEX}", 3)
    layers = (Layer("m", f"sha256:{HEX}", 4, "base:latest"),)
    data = encode_manifest(config, layers)
    assert json.loads(data) == {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": "c", "digest": f"sha256:{HEX}", "size": 3},
        "layers": [{"mediaType": "m", "digest": f"sha256:{HEX}", "size": 4, "from": "base:latest"}],
    }
    manifest = parse_manifest(data)
    assert (manifest.config, manifest.layers) == (config, layers)


def test_what_others_write_is_read() -> None:
    data = {"config": LAYER | {"extra": 1}, "layers": None, "annotations": {}}
    assert parse_manifest(json.dumps(data).encode()).layers == ()


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        [],
        {"config": LAYER, "layers": 3},
        {"config": LAYER, "layers": [{"digest": LAYER["digest"]}]},
        {"config": LAYER | {"size": -1}},
        {"config": LAYER | {"size": "1"}},
        {"config": LAYER, "schemaVersion": 1},
        *({"config": LAYER | {"digest": digest}} for digest in BAD_DIGESTS),
        *({"config": LAYER, "layers": [LAYER, LAYER | {"digest": d}]} for d in BAD_DIGESTS),
    ],
)
def test_manifests_that_cannot_be_trusted_are_refused(manifest: Any) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(json.dumps(manifest).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"{} {}", b" " * (5 << 20)])
def test_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(data)


def test_configs_and_texts_read_back() -> None:
    config = ModelConfig(model_format="gguf", model_family="llama", model_families=("llama",))
    assert parse_config(encode_config(config)) == config
    registry = b'{"model_format":"gguf","model_families":null,"rootfs":{"type":"layers"}}'
    assert parse_config(registry) == ModelConfig(model_format="gguf")
    assert parse_params(b'{"stop":["a"],"top_k":1}') == {"stop": ["a"], "top_k": 1}
    assert parse_messages(b'[{"role":"user","content":"x"}]') == (Message("user", "x"),)
    for parse in (parse_config, parse_params, parse_messages):
        for data in (b"", b"3", b"[3]", b"{", b"\xff"):
            with pytest.raises(ManifestError):
                parse(data)

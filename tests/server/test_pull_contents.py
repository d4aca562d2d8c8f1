"""Models that are no models: manifests, configs, sizes and files of a registry that are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bad_pulls import error_of, error_with, put_manifest
from bad_registry import Fault
from model_maker import files_of
from registries import bad_registry, manifest_of
from serving import Serving, serving

from ayllu.models.manifest import CONFIG_TYPE, LICENSE_TYPE, MODEL_TYPE, TENSOR_TYPE, digest_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home"), AYLLU_REGISTRIES="127.0.0.1") as running:
        yield running


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (b"", "the manifest cannot be used"),
        (b"<html>", "the manifest cannot be used"),
        (b"\xff\xfe", "the manifest cannot be used"),
        (b"[" * 100_000, "the manifest cannot be used"),
        (b'{"x":' + b"[" * 100_000, "the manifest cannot be used"),
        (b'{"schemaVersion":1}', "the manifest cannot be used"),
        (b'{"schemaVersion":2,"manifests":[]}', "the manifest cannot be used"),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    server: Serving, tmp_path: Path, manifest: bytes, words: str
) -> None:
    with bad_registry(tmp_path) as registry:
        registry.put_manifest("me/x", "latest", manifest)
        assert words in error_of(server, f"{registry.host}/me/x")


@pytest.mark.parametrize("size", [-1, 0, 2, 4, 1 << 40, 1 << 70])
def test_a_size_that_is_a_lie_is_refused(server: Serving, tmp_path: Path, size: int) -> None:
    with bad_registry(tmp_path) as registry:
        digest = registry.put_blob("me/x", b"MIT")
        put_manifest(registry, (LICENSE_TYPE, digest, size))
        answer = server.post(
            "/api/pull",
            {"model": f"{registry.host}/me/x", "insecure": True, "stream": False},
        )
    sentences = {
        -1: "a layer has a negative size",
        0: "digest mismatch",
        1 << 40: "there is no space left",
        1 << 70: "there is no space left",
    }
    assert sentences.get(size, "and its manifest says") in answer.json["error"]
    assert files_of(server.home / "models") == set()


@pytest.mark.parametrize(
    ("layers", "config", "words"),
    [
        ([(MODEL_TYPE, b"GGUF")], {}, "cannot be used: "),
        ([(MODEL_TYPE, b"no GGUF at all" * 9)], {}, "is not a GGUF file"),
        ([(LICENSE_TYPE, b"MIT")], {}, "has no GGUF file, so nothing can run it"),
        ([(LICENSE_TYPE, b"MIT")], {"remote_host": "https://x"}, "is a model in a cloud"),
        ([(TENSOR_TYPE, b"x")], {}, "is made of safetensors, which cannot be used here"),
    ],
)
def test_what_nothing_here_can_run_is_not_kept(
    server: Serving, tmp_path: Path, layers: Any, config: Any, words: str
) -> None:
    with bad_registry(tmp_path) as registry:
        registry.put_model("me/x", layers, **config)
        assert words in error_of(server, f"{registry.host}/me/x")


@pytest.mark.parametrize("config", [b"", b"[]", b"\xff", b'{"x":' + b"[" * 100_000, bytes(5 << 20)])
def test_a_config_that_is_none_is_not_kept(
    server: Serving, tmp_path: Path, chat_gguf: Path, config: bytes
) -> None:
    with bad_registry(tmp_path) as registry:
        data = chat_gguf.read_bytes()
        manifest = manifest_of(
            (CONFIG_TYPE, registry.put_blob("me/x", config), len(config)),
            [(MODEL_TYPE, registry.put_blob("me/x", data), len(data))],
        )
        registry.put_manifest("me/x", "latest", manifest)
        assert "config" in error_of(server, f"{registry.host}/me/x")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"token":5}',
        b'{"token":"a b"}',
        b'{"token":"a\\nb"}',
        b'{"x":' + b"[" * 99_999,
    ],
)
def test_a_token_that_is_none_is_not_sent(server: Serving, tmp_path: Path, body: bytes) -> None:
    challenge = {"WWW-Authenticate": 'Bearer realm="http://{host}/token"'}
    faults = [
        Fault("answer", "^/token", times=-1, body=body.decode()),
        Fault("answer", "", times=-1, status=401, headers=challenge),
    ]
    assert "gave a token that cannot be" in error_with(server, tmp_path, *faults)


def test_what_the_user_had_stays_when_a_pull_fails(
    server: Serving, tmp_path: Path, chat_gguf: Path
) -> None:
    with bad_registry(tmp_path) as registry:
        name = f"{registry.host}/me/x"
        manifest = registry.put_gguf("me/x", chat_gguf)
        body = {"model": name, "insecure": True, "stream": False}
        assert server.post("/api/pull", body).json == {"status": "success"}
        registry.put_model("me/x", [(MODEL_TYPE, b"GGUF"), (LICENSE_TYPE, b"new")])
        assert "cannot be used" in error_of(server, name)
        stored = server.home / "models/manifests" / registry.host / "me/x/latest"
        assert stored.read_bytes() == manifest
        assert server.post("/api/show", {"model": name}).status == 200
        assert server.request("DELETE", "/api/delete", {"model": name}).status == 200


def test_s18_links_in_the_models_folder_are_not_written_through(
    tmp_path: Path, chat_gguf: Path
) -> None:
    home, victim = tmp_path / "home", tmp_path / "victim"
    victim.write_bytes(b"precious")
    with bad_registry(tmp_path / "registry") as registry:
        manifest = registry.put_gguf("me/x", chat_gguf)
        blob = f"sha256-{digest_of(chat_gguf.read_bytes())[7:]}"
        blobs = home / "models/blobs"
        place = home / "models/manifests" / registry.host / "me/x"
        for folder in (blobs, place):
            folder.mkdir(parents=True)
        for link in (blobs / f"{blob}-partial", blobs / f"{blob}-partial-0", place / "latest"):
            link.symlink_to(victim)
        with serving(home, AYLLU_REGISTRIES="127.0.0.1") as server:
            body = {"model": f"{registry.host}/me/x", "insecure": True, "stream": False}
            assert server.post("/api/pull", body).json == {"status": "success"}
        assert (place / "latest").read_bytes() == manifest
    assert victim.read_bytes() == b"precious"
    assert not any(path.is_symlink() for path in (home / "models").rglob("*"))

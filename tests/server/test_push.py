"""Pushing to Debian's docker-registry: whole models, a crash in the middle, clients that leave."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest
from registries import Registry, docker_registry
from serving import Serving, serving, wait_until

from ayllu.models.manifest import LICENSE_TYPE, MANIFEST_TYPE, MODEL_TYPE, encode_manifest
from ayllu.models.name import parse_name
from ayllu.models.store import Store

ALLOWED = {"AYLLU_REGISTRIES": "127.0.0.1"}
LAYERS, LAYER = 4, 50 << 20


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def push(server: Serving, name: str, **more: Any) -> list[dict[str, Any]]:
    """The lines of a push."""
    answer = server.post("/api/push", {"model": name, "insecure": True, **more}, timeout=120)
    assert answer.status == 200, answer.body
    lines: list[dict[str, Any]] = answer.lines
    return lines


def asked(registry: Registry, method: str, words: str) -> list[dict[str, Any]]:
    """The requests with a method and some words in their paths."""
    return [
        one
        for one in registry.requests
        if one["http.request.method"] == method and words in one["http.request.uri"]
    ]


def has(registry: Registry, name: str) -> bool:
    """Whether others can pull it."""
    folder = registry.folder / "data/docker/registry/v2/repositories" / name / "_manifests/tags"
    return folder.exists()


def make_big(models: Path, name: str) -> list[str]:
    """A model of 200 MB in four layers; returns their digests."""
    store = Store(models)
    config = store.write_blob(b'{"model_format":"gguf"}', "c")
    layers = [store.write_blob(os.urandom(LAYER), LICENSE_TYPE) for _ in range(LAYERS)]
    store.write_manifest(parse_name(name), encode_manifest(config, tuple(layers)))
    return [layer.digest for layer in layers]


def test_what_is_pushed_can_be_pulled(registry: Registry, tmp_path: Path, chat_gguf: Path) -> None:
    name = f"{registry.host}/me/chat:1b"
    with serving(tmp_path / "home", **ALLOWED) as server:
        server.create(name, chat_gguf, system="Be kind.", parameters={"num_ctx": 256})
        lines = push(server, name)
        assert lines[0] == {"status": "retrieving manifest"}
        assert lines[-2:] == [{"status": "pushing manifest"}, {"status": "success"}]
        labels = {line["status"] for line in lines if line["status"].startswith("pushing ")}
        assert len(labels) == 5
        digest = server.get("/api/tags").json["models"][0]["digest"]
        before = len(asked(registry, "PATCH", "/me/chat/"))
        assert push(server, name, stream=False) == [{"status": "success"}]
        assert len(asked(registry, "PATCH", "/me/chat/")) == before
    with serving(tmp_path / "other", **ALLOWED) as other:
        pulled = other.post("/api/pull", {"model": name, "insecure": True, "stream": False})
        assert pulled.json == {"status": "success"}, pulled.body
        assert other.get("/api/tags").json["models"][0]["digest"] == digest
        assert other.post("/api/show", {"model": name}).json["system"] == "Be kind."


def test_an_ayllu_is_a_registry_for_another(tmp_path: Path, chat_gguf: Path) -> None:
    with serving(tmp_path / "home", AYLLU_SERVE_REGISTRY="on") as server:
        server.create("me/chat", chat_gguf)
        digest = server.get("/api/tags").json["models"][0]["digest"]
        name = f"{server.url.removeprefix('http://')}/me/chat"
        with serving(tmp_path / "other", **ALLOWED) as other:
            done = other.ayllu("pull", name, "--insecure")
            assert done.status == 0, done.stderr
            assert other.get("/api/tags").json["models"][0]["digest"] == digest
            other.make(name, **{"from": name, "system": "New."})
            refused = other.post("/api/push", {"model": name, "insecure": True, "stream": False})
            assert "this registry is only read" in refused.json["error"]


HTPASSWD = "me:$2b$04$TIZ50d/GUfG8soxew.6uCO2XdoflYCNwM9GKJxUqKCiD18EMBbk1q"
"""The password `se@cret`, by bcrypt."""


def test_a_registry_that_wants_a_name_and_a_password_gets_them(
    tmp_path: Path, chat_gguf: Path
) -> None:
    secret = tmp_path / "htpasswd"
    secret.write_text(f"{HTPASSWD}\n", "utf-8")
    more = f"auth: {{htpasswd: {{realm: ours, path: {secret}}}}}"
    with docker_registry(tmp_path / "registry", more) as registry:
        name, body = f"{registry.host}/me/chat", {"insecure": True, "stream": False}
        good = ALLOWED | {"AYLLU_REGISTRY_LOGINS": f"me:se@cret@{registry.host}"}
        with serving(tmp_path / "home", **good) as server:
            server.create(name, chat_gguf)
            push(server, name)
            server.request("DELETE", "/api/delete", {"model": name})
            pulled = server.post("/api/pull", {"model": name, **body})
            assert pulled.json == {"status": "success"}
            assert "se@cret" not in server.log.read_text("utf-8")
            assert "se@cret" not in server.ayllu("doctor").stdout
        for home, login, words in (
            ("none", "", "asks for a login: set AYLLU_REGISTRY_LOGINS=user:password@127.0.0.1"),
            ("wrong", f"me:wrong@{registry.host}", "does not take the login that you gave"),
            ("other", "me:se@cret@127.0.0.1:1", "asks for a login"),
        ):
            logins = ALLOWED | ({"AYLLU_REGISTRY_LOGINS": login} if login else {})
            with serving(tmp_path / home, **logins) as server:
                refused = server.post("/api/pull", {"model": name, **body})
                assert refused.status == 403
                assert words in refused.json["error"]


def test_layers_of_another_model_are_mounted(
    registry: Registry, tmp_path: Path, chat_gguf: Path
) -> None:
    with serving(tmp_path / "home", **ALLOWED) as server:
        server.create(f"{registry.host}/me/first", chat_gguf)
        push(server, f"{registry.host}/me/first")
        server.make(
            f"{registry.host}/me/second", **{"from": f"{registry.host}/me/first", "system": "Hi."}
        )
        push(server, f"{registry.host}/me/second")
        mounts = asked(registry, "POST", "/me/second/blobs/uploads/?mount=")
        assert [one["http.response.status"] for one in mounts] == [201]
        assert "from=me/first" in mounts[0]["http.request.uri"].replace("%2F", "/")
        assert has(registry, "me/second")


def test_after_a_crash_only_what_is_missing_is_sent(registry: Registry, tmp_path: Path) -> None:
    home, name = tmp_path / "home", f"{registry.host}/me/big"
    digests = make_big(home / "models", name)
    with serving(home, **ALLOWED) as server, ollama.Client(host=server.url) as client:
        for line in client.push(name, insecure=True, stream=True):
            if line.digest == digests[2] and line.completed:
                server.process.send_signal(signal.SIGKILL)
                break
        server.process.wait()
    assert not has(registry, "me/big")
    before = len(registry.requests)
    with serving(home, **ALLOWED) as server:
        assert push(server, name)[-1] == {"status": "success"}
    new = registry.requests[before:]
    again = {one["http.request.uri"] for one in new if one["http.request.method"] == "PUT"}
    assert not any(digest.split(":")[1] in uri for digest in digests[:2] for uri in again)
    heads = [one for one in new if one["http.request.method"] == "HEAD"]
    assert [one["http.response.status"] for one in heads[:2]] == [200, 200]
    assert has(registry, "me/big")
    _, headers, data = registry.ask("GET", "/v2/me/big/manifests/latest", Accept=MANIFEST_TYPE)
    manifest = Store(home / "models").manifest_bytes(parse_name(name))
    assert (data, headers["Content-Type"]) == (manifest, MANIFEST_TYPE)


def test_who_leaves_ends_the_upload(registry: Registry, tmp_path: Path) -> None:
    home, name = tmp_path / "home", f"{registry.host}/me/left"
    make_big(home / "models", name)
    slow = ALLOWED | {"AYLLU_MAX_BANDWIDTH": "20M"}
    with serving(home, **slow) as server, ollama.Client(host=server.url) as client:
        lines = client.push(name, insecure=True, stream=True)
        assert any(line.completed for line in lines)
        lines.close()
        uploads = registry.folder / "data/docker/registry/v2/repositories/me/left/_uploads"
        [part] = uploads.iterdir()
        wait_until(lambda: asked(registry, "PATCH", "/me/left/"), what="the upload's end")
        assert (part / "data").stat().st_size < LAYER
        assert not has(registry, "me/left")


def test_the_command_says_where_the_model_is(
    registry: Registry, tmp_path: Path, chat_gguf: Path
) -> None:
    name = f"{registry.host}/me/told"
    with serving(tmp_path / "home", **ALLOWED) as server:
        server.create(name, chat_gguf)
        done = server.ayllu("push", name, "--insecure")
        assert done.stdout == f"\nYou can find your model at:\n\n\t{name}:latest\n"
        assert done.stderr.splitlines()[0] == "retrieving manifest"
        assert done.stderr.splitlines()[-1] == "success"
        for arguments, words in [
            (["absent"], "model 'absent:latest' not found"),
            (["a b"], "invalid model name"),
            ([name], "does not speak https: a registry without it needs --insecure"),
            ([f"http://{name}"], "insecure protocol http"),
        ]:
            done = server.ayllu("push", *arguments)
            assert (done.status, done.stdout) == (1, "")
            assert words in done.stderr


def test_a_model_of_the_package_can_be_pushed(registry: Registry, tmp_path: Path) -> None:
    name = f"{registry.host}/me/mini"
    with serving(tmp_path / "home", **ALLOWED) as server:
        assert server.ayllu("cp", "mini", name).status == 0
        push(server, name)
        assert has(registry, "me/mini")
        [layer] = [
            layer
            for layer in Store(server.home / "models").manifest(parse_name(name)).manifest.layers
            if layer.media_type == MODEL_TYPE
        ]
        assert registry.ask("HEAD", f"/v2/me/mini/blobs/{layer.digest}")[0] == 200

"""Models served to others: an OCI registry that is only read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Answer, Serving, serving

HEX = "0123456789abcdef" * 4
REPOSITORY = "/v2/library/chat"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("ggufs")
    shutil.copyfile(chat_gguf, folder / "unhashed.gguf")
    settings = {"AYLLU_SERVE_REGISTRY": "on", "AYLLU_EXTRA_MODELS": str(folder)}
    with serving(tmp_path_factory.mktemp("home"), **settings) as running:
        running.create("chat", chat_gguf, system="Be kind.")
        for name in ("chat:second", "me/Chat", "hf.co/user/repo:Q8_0"):
            assert running.post("/api/copy", {"source": "chat", "destination": name}).status == 200
        yield running


def layers(server: Serving) -> list[dict[str, Any]]:
    manifest = server.get(f"{REPOSITORY}/manifests/latest").json
    return [manifest["config"], *manifest["layers"]]


def code(answer: Answer) -> str:
    """The code of a registry's error, in its shape."""
    [error] = answer.json["errors"]
    assert error.keys() == {"code", "message", "detail"}
    assert error["message"]
    return str(error["code"])


def test_it_is_off_unless_the_user_opens_it(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        for path in ("/v2/", "/v2/_catalog", "/v2/library/mini/manifests/latest"):
            answer = server.get(path)
            assert (answer.status, code(answer)) == (404, "NAME_UNKNOWN")
            assert "AYLLU_SERVE_REGISTRY=on" in answer.json["errors"][0]["message"]


def test_it_says_that_it_is_a_registry(registry: Serving) -> None:
    answer = registry.get("/v2/")
    assert (answer.status, answer.json) == (200, {})
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_manifest_is_given_byte_for_byte(registry: Serving, method: str) -> None:
    path = registry.home / "models/manifests/registry.ollama.ai/library/chat/latest"
    digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    for reference in ("latest", "LATEST", digest):
        answer = registry.request(method, f"{REPOSITORY}/manifests/{reference}")
        assert answer.status == 200
        assert answer.body == (path.read_bytes() if method == "GET" else b"")
        assert answer.headers["docker-content-digest"] == digest
        assert answer.headers["content-length"] == str(path.stat().st_size)
        assert answer.headers["content-type"] == (
            "application/vnd.docker.distribution.manifest.v2+json"
        )


@pytest.mark.parametrize(
    "repository", ["chat", "library/chat", "me/chat", "ME/CHAT", "hf.co/user/repo"]
)
def test_repositories_are_named_as_models_are(registry: Serving, repository: str) -> None:
    tag = "Q8_0" if "hf.co" in repository else "latest"
    answer = registry.get(f"/v2/{repository}/manifests/{tag}")
    assert answer.status == 200
    blob = answer.json["config"]["digest"]
    assert registry.request("HEAD", f"/v2/{repository}/blobs/{blob}").status == 200


def test_a_blob_is_given_whole_and_to_ollamas_taste(registry: Serving, chat_gguf: Path) -> None:
    data = chat_gguf.read_bytes()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    path = f"{REPOSITORY}/blobs/{digest}"
    for method in ("GET", "HEAD"):
        answer = registry.request(method, path)
        assert (answer.status, answer.body) == (200, data if method == "GET" else b"")
        assert answer.headers["content-length"] == str(len(data))
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["etag"] == f'"{digest}"'
        assert answer.headers["docker-content-digest"] == digest
        assert answer.headers["location"] == path
    for layer in layers(registry):
        answer = registry.get(f"{REPOSITORY}/blobs/{layer['digest']}")
        assert len(answer.body) == layer["size"]
        assert f"sha256:{hashlib.sha256(answer.body).hexdigest()}" == layer["digest"]


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-99", 10, 100),
        ("bytes=100-", 100, None),
        ("bytes=-100", -100, None),
        ("bytes=0-999999999999", 0, None),
        ("bytes=-999999999999", 0, None),
        ("bytes=1048570-1048590", 1048570, 1048591),
    ],
)
def test_a_part_of_a_blob(
    registry: Serving, chat_gguf: Path, asked: str, start: int, end: int | None
) -> None:
    data = chat_gguf.read_bytes()
    path = f"{REPOSITORY}/blobs/sha256:{hashlib.sha256(data).hexdigest()}"
    answer = registry.get(path, headers={"Range": asked})
    assert (answer.status, answer.body) == (206, data[start:end])
    first = start if start >= 0 else len(data) + start
    told = f"bytes {first}-{first + len(answer.body) - 1}/{len(data)}"
    assert answer.headers["content-range"] == told
    head = registry.request("HEAD", path, headers={"Range": asked})
    assert (head.status, head.headers["content-range"]) == (206, told)
    other = {"Range": asked, "If-Range": '"another"'}
    assert registry.get(path, headers=other).body == data
    same = other | {"If-Range": answer.headers["etag"]}
    assert registry.get(path, headers=same).status == 206


@pytest.mark.parametrize(
    "asked", ["bytes=1073741824-", "bytes=-0", "bytes=99999999999-999999999999"]
)
def test_a_part_behind_the_end_is_refused(registry: Serving, asked: str) -> None:
    layer = layers(registry)[1]
    answer = registry.get(f"{REPOSITORY}/blobs/{layer['digest']}", headers={"Range": asked})
    assert (answer.status, code(answer)) == (416, "RANGE_INVALID")
    assert answer.headers["content-range"] == f"bytes */{layer['size']}"


@pytest.mark.parametrize(
    "asked",
    ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "rows=0-1", "bytes=0-1,3-4"],
)
def test_what_is_no_range_gets_all(registry: Serving, asked: str) -> None:
    layer = layers(registry)[0]
    answer = registry.get(f"{REPOSITORY}/blobs/{layer['digest']}", headers={"Range": asked})
    assert (answer.status, len(answer.body)) == (200, layer["size"])


def test_tags_and_repositories_are_listed_by_pages(registry: Serving) -> None:
    assert registry.get(f"{REPOSITORY}/tags/list").json == {
        "name": "library/chat",
        "tags": ["latest", "second"],
    }
    whole = registry.get("/v2/_catalog").json["repositories"]
    assert whole == sorted(whole)
    assert {"hf.co/user/repo", "library/chat", "library/mini", "me/Chat"} <= set(whole)
    seen: list[str] = []
    path: str | None = "/v2/_catalog?n=2"
    while path:
        answer = registry.get(path)
        seen += answer.json["repositories"]
        link = answer.headers.get("link", "")
        assert not link or link.endswith('>; rel="next"')
        path = link.partition(">")[0].removeprefix("<") or None
    assert seen == whole
    assert registry.get(f"{REPOSITORY}/tags/list?n=1&last=latest").json["tags"] == ["second"]
    assert registry.get("/v2/_catalog?n=0").json == {"repositories": []}
    for query in ("n=-1", "n=x"):
        assert registry.get(f"/v2/_catalog?{query}").status == 400


@pytest.mark.parametrize(
    ("path", "status", "wanted"),
    [
        ("/v2/library/absent/manifests/latest", 404, "NAME_UNKNOWN"),
        ("/v2/library/absent/tags/list", 404, "NAME_UNKNOWN"),
        (f"{REPOSITORY}/manifests/absent", 404, "MANIFEST_UNKNOWN"),
        (f"{REPOSITORY}/manifests/sha256:{HEX}", 404, "MANIFEST_UNKNOWN"),
        (f"{REPOSITORY}/manifests/sha256:12", 400, "DIGEST_INVALID"),
        (f"{REPOSITORY}/blobs/sha256:{HEX}", 404, "BLOB_UNKNOWN"),
        (f"{REPOSITORY}/blobs/sha256:{HEX}0", 400, "DIGEST_INVALID"),
        (f"{REPOSITORY}/blobs/latest", 400, "DIGEST_INVALID"),
        (f"{REPOSITORY}/blobs/..%2f..%2f..%2fetc%2fpasswd", 404, "NAME_UNKNOWN"),
        ("/v2/..%2f..%2fetc/manifests/passwd", 400, "NAME_INVALID"),
        ("/v2/../../etc/manifests/passwd", 400, "NAME_INVALID"),
        ("/v2/a/b/c/d/manifests/latest", 400, "NAME_INVALID"),
        ("/v2/a:b/manifests/latest", 400, "NAME_INVALID"),
        ("/v2/http:%2f%2fa/b/c/manifests/latest", 400, "NAME_INVALID"),
        ("/v2/library/chat/nothing", 404, "NAME_UNKNOWN"),
        ("/v2/library/unhashed/manifests/latest", 404, "NAME_UNKNOWN"),
    ],
)
def test_what_is_not_here_is_told_in_the_registrys_words(
    registry: Serving, path: str, status: int, wanted: str
) -> None:
    answer = registry.get(path)
    assert (answer.status, code(answer)) == (status, wanted)
    assert registry.request("HEAD", path).status == status


def test_a_blob_is_given_only_where_its_model_is(registry: Serving, chat_gguf: Path) -> None:
    """What was uploaded and never became a model is nobody's; mini has nothing of chat."""
    data = os.urandom(100)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert registry.post(f"/api/blobs/{digest}", data).status == 201
    assert code(registry.get(f"{REPOSITORY}/blobs/{digest}")) == "BLOB_UNKNOWN"
    weights = f"sha256:{hashlib.sha256(chat_gguf.read_bytes()).hexdigest()}"
    assert code(registry.get(f"/v2/library/mini/blobs/{weights}")) == "BLOB_UNKNOWN"


def test_models_without_a_digest_are_offered_once_they_are_copied(registry: Serving) -> None:
    assert "library/unhashed" not in registry.get("/v2/_catalog").json["repositories"]
    assert "unhashed:latest" in registry.ayllu("list").stdout
    assert registry.ayllu("cp", "unhashed", "me/hashed").status == 0
    manifest = registry.get("/v2/me/hashed/manifests/latest").json
    weights = registry.get(f"/v2/me/hashed/blobs/{manifest['layers'][0]['digest']}").body
    assert f"sha256:{hashlib.sha256(weights).hexdigest()}" == manifest["layers"][0]["digest"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{REPOSITORY}/blobs/uploads/"),
        ("POST", f"{REPOSITORY}/blobs/uploads/?mount=sha256:{HEX}&from=library/mini"),
        ("PATCH", f"{REPOSITORY}/blobs/uploads/1"),
        ("PUT", f"{REPOSITORY}/manifests/latest"),
        ("PUT", f"{REPOSITORY}/blobs/uploads/1?digest=sha256:{HEX}"),
        ("DELETE", f"{REPOSITORY}/manifests/latest"),
        ("DELETE", f"{REPOSITORY}/blobs/sha256:{HEX}"),
    ],
)
def test_nobody_writes(registry: Serving, method: str, path: str) -> None:
    answer = registry.request(method, path, b"x" * (3 << 20) if method != "DELETE" else None)
    assert (answer.status, code(answer)) == (405, "UNSUPPORTED")
    assert answer.headers["allow"] == "GET, HEAD"


def test_a_client_of_registries_gets_a_model(registry: Serving, tmp_path: Path) -> None:
    """curl follows what a stock client does: manifest, Location, parts."""
    manifest = json.loads(fetch(registry, f"{REPOSITORY}/manifests/latest", tmp_path / "m"))
    layer = max(manifest["layers"], key=lambda layer: int(layer["size"]))
    target = tmp_path / "blob"
    path = f"{REPOSITORY}/blobs/{layer['digest']}"
    fetch(registry, path, target, "--range", "0-99999")
    fetch(registry, path, target, "--continue-at", "-")
    assert f"sha256:{hashlib.sha256(target.read_bytes()).hexdigest()}" == layer["digest"]


def fetch(server: Serving, path: str, target: Path, *options: str) -> bytes:
    command = ["curl", "-sSfL", "--noproxy", "*", *options, "-o", str(target), server.url + path]
    subprocess.run(command, check=True, timeout=60)
    return target.read_bytes()

"""Registries that mean ill, and names that do: S1, S2, S8 to S11, S16 to S18.

Every pull ends in one sentence; the models folder is as it was, and nothing else is touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_pulls import error_of, error_with, put_manifest
from bad_registry import Fault
from registries import bad_registry
from serving import Serving, serving

from ayllu.models.manifest import LICENSE_TYPE, MODEL_TYPE, TENSOR_TYPE

HEX = "ab" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home"), AYLLU_REGISTRIES="127.0.0.1") as running:
        yield running


TRAVERSALS = [
    "sha256:../../../../../../../../tmp/ayllu-was-here",
    "sha256-../x",
    "../../../etc/passwd",
    "sha256:" + "../" * 21 + "x",
    "sha256:" + HEX[:-1] + "/",
    "sha256:%2e%2e%2f" + HEX[9:],
    "sha256:" + HEX + "00",
    "sha256-" + HEX + "a",
    "sha256:" + HEX[:-1],
    "sha256:abcdef",
    "sha256:",
    "sha512:" + HEX,
    "",
    "x",
    "sha256:" + HEX[:-1] + "\n",
    "sha256:" + HEX[:-1] + "\u0661",
]


@pytest.mark.parametrize("place", ["config", "first", "last", "tensor"])
def test_s1_s2_s10_a_digest_that_is_none_is_refused_wherever_it_stands(
    server: Serving, tmp_path: Path, place: str
) -> None:
    with bad_registry(tmp_path) as registry:
        sound = registry.put_blob("me/x", b"MIT")
        for digest in TRAVERSALS:
            layers = [(LICENSE_TYPE, sound, 3)] * 2
            if place != "config":
                kind = TENSOR_TYPE if place == "tensor" else MODEL_TYPE
                layers.insert(0 if place == "first" else 2, (kind, digest, 3))
            put_manifest(registry, *layers, config=digest or "?" if place == "config" else "")
            sentence = error_of(server, f"{registry.host}/me/x")
            assert sentence == "the manifest cannot be used: invalid digest format"
        assert {one["path"] for one in registry.requests} == {"/v2/me/x/manifests/latest"}
    assert not Path("/tmp/ayllu-was-here").exists()  # noqa: S108 - where the digest points to


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer realm="http://evil.example/token",service="a",scope="b"',
        'Bearer realm="http://127.0.0.1:1/token"',
        'Bearer realm="http://user@{host}/token"',
        'Bearer realm="https://{host}/token"',
        'Bearer realm="http://{host}@evil.example/token"',
    ],
)
def test_s8_no_token_is_asked_of_a_foreign_realm(
    server: Serving, tmp_path: Path, challenge: str
) -> None:
    fault = Fault("answer", "", times=-1, status=401, headers={"WWW-Authenticate": challenge})
    with bad_registry(tmp_path, fault) as registry:
        sentence = error_of(server, f"{registry.host}/me/x")
        assert "does not match original host" in sentence
        assert all("authorization" not in one["headers"] for one in registry.requests)


def test_s8_a_login_by_password_is_refused(server: Serving, tmp_path: Path) -> None:
    headers = {"WWW-Authenticate": 'Basic realm="x"'}
    fault = Fault("answer", "", times=-1, status=401, headers=headers)
    assert "asks for a login: set AYLLU_REGISTRY_LOGINS" in error_with(server, tmp_path, fault)


@pytest.mark.parametrize("what", ["bomb", "endless"])
@pytest.mark.parametrize("path", ["manifests", "blobs"])
def test_s9_what_never_ends_is_cut_off(
    server: Serving, tmp_path: Path, what: str, path: str
) -> None:
    sentence = error_with(server, tmp_path, Fault(what, path, times=-1))
    if what == "bomb":
        assert "sent a compressed answer unasked" in sentence
    elif path == "manifests":
        assert "sent an answer of more than 4194304 bytes" in sentence
    else:
        assert "digest mismatch" in sentence


def test_s9_an_error_that_never_ends_is_cut_off(server: Serving, tmp_path: Path) -> None:
    fault = Fault("answer", "", times=-1, status=400, body="x" * (5 << 20))
    assert "more than 4194304 bytes" in error_with(server, tmp_path, fault)


@pytest.mark.parametrize("path", ["manifests", "blobs"])
@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:169.254.169.254]/",
        "http://10.0.0.1/v2/",
        "http://localhost:11434/api/tags",
        "http://0.0.0.0:11434/",
        "http://[::1]:11434/",
    ],
)
def test_s11_a_redirect_to_a_private_address_is_not_followed(
    server: Serving, tmp_path: Path, path: str, target: str
) -> None:
    fault = Fault("answer", path, times=-1, status=307, headers={"Location": target})
    sentence = error_with(server, tmp_path, fault)
    assert "is on a private address and was not asked: add it to AYLLU_REGISTRIES" in sentence


def test_s11_nor_is_one_at_the_end_of_a_chain(server: Serving, tmp_path: Path) -> None:
    first = {"Location": "/moved/me/x/manifests/latest"}
    second = {"Location": "http://169.254.169.254/latest/meta-data"}
    faults = [
        Fault("answer", "^/v2/", times=-1, status=301, headers=first),
        Fault("answer", "^/moved/", times=-1, status=308, headers=second),
    ]
    assert "169.254.169.254 is on a private address" in error_with(server, tmp_path, *faults)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Location": "/v2/me/x/manifests/latest"}, "redirects more than 10 times"),
        ({}, "redirects to nowhere"),
        ({"Location": "file:///etc/passwd"}, "redirects to what is no URL"),
        ({"Location": "gopher://127.0.0.1/"}, "redirects to what is no URL"),
        ({"Location": "http://"}, "redirects more than 10 times"),
        ({"Location": "http://[::"}, "redirects to what is no URL"),
    ],
)
def test_s11_a_redirect_that_leads_nowhere_is_told(
    server: Serving, tmp_path: Path, headers: dict[str, str], words: str
) -> None:
    fault = Fault("answer", "manifests", times=-1, status=302, headers=headers)
    assert words in error_with(server, tmp_path, fault)


@pytest.mark.parametrize(
    "name",
    [
        "169.254.169.254/latest/meta-data",
        "10.0.0.1/me/x",
        "localhost/me/x",
        "localhost:11434/me/x",
        "0.0.0.0:11434/me/x",
        "192.168.1.1:5000/me/x",
    ],
)
@pytest.mark.parametrize("insecure", [True, False])
def test_s11_a_private_host_is_refused_before_the_stream(
    server: Serving, name: str, insecure: bool
) -> None:
    answer = server.post("/api/pull", {"model": name, "insecure": insecure})
    assert answer.status == 403
    assert "AYLLU_REGISTRIES" in answer.json["error"]


def test_blobs_may_lie_where_the_owner_allows(
    server: Serving, tmp_path: Path, chat_gguf: Path
) -> None:
    """A redirect to another server, and Ollama's registry's way of a 200 with a Location."""
    with bad_registry(tmp_path / "storage") as storage:
        digest = storage.put_blob("any", chat_gguf.read_bytes())
        target = {"Location": f"{storage.url}/moved/any/blobs/{digest}"}
        faults = [
            Fault("answer", digest, status=307, headers=target, times=1),
            Fault("answer", digest, headers=target, times=-1, body="not here"),
        ]
        for fault in faults:
            with bad_registry(tmp_path / fault.what / str(fault.status), fault) as registry:
                registry.put_gguf("me/x", chat_gguf)
                name = f"{registry.host}/me/x"
                body = {"model": name, "insecure": True, "stream": False}
                assert server.post("/api/pull", body).json == {"status": "success"}
                assert server.request("DELETE", "/api/delete", {"model": name}).status == 200
        assert len(storage.requests) == 2


def test_s16_a_digest_that_stands_twice_is_checked(server: Serving, tmp_path: Path) -> None:
    with bad_registry(tmp_path) as registry:
        digest = registry.put_blob("me/x", b"what it is")
        (tmp_path / "blobs" / digest).write_bytes(b"what it isn't")
        put_manifest(registry, (MODEL_TYPE, digest, 13), (LICENSE_TYPE, digest, 13), config=digest)
        assert "digest mismatch" in error_of(server, f"{registry.host}/me/x")


def test_s17_plain_http_has_to_be_asked_for(server: Serving, tmp_path: Path) -> None:
    with bad_registry(tmp_path) as registry:
        answer = server.post("/api/pull", {"model": f"http://{registry.host}/me/x"})
        assert (answer.status, answer.json) == (400, {"error": "insecure protocol http"})
        sentence = error_of(server, f"{registry.host}/me/x", insecure=False)
        assert sentence.endswith("does not speak https: a registry without it needs --insecure")
        sentence = error_of(server, f"https://{registry.host}/me/x", insecure=True)
        assert "does not speak https" in sentence
        sentence = error_of(server, f"http://{registry.host}/me/x")
        assert sentence == "pull model manifest: file does not exist"


@pytest.mark.parametrize("name", ["x:cloud", "gpt-oss:20b-cloud", "h/n/x:CLOUD"])
def test_a_model_in_a_cloud_is_refused(server: Serving, name: str) -> None:
    answer = server.post("/api/pull", {"model": name})
    assert answer.status == 403
    assert "is a model in a cloud, and nothing leaves your machines" in answer.json["error"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "h/../x",
        "a/b/c/d",
        "h:p:q/n/m/x",
        "ftp://h/n/m",
        "http://x",
        "h/n/m:..%2f",
        "a b",
    ],
)
def test_a_name_that_is_none_is_refused(server: Serving, name: str) -> None:
    answer = server.post("/api/pull", {"model": name, "insecure": True})
    assert (answer.status, answer.json) == (400, {"error": "invalid model name"})

from __future__ import annotations

import asyncio
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from serving import Serving, clean_environment, serving

from ayllu.config import load_settings
from ayllu.server.middleware import Guard, host_name, is_local_name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:11434", "localhost"),
        ("[::1]:11434", "::1"),
        ("[::1]", "::1"),
        ("Example.COM", "example.com"),
        ("evil.example:80", "evil.example"),
        ("", ""),
    ],
)
def test_the_name_is_found_in_a_host_header(header: str, name: str) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("box.local", True),
        ("127.0.0.1", True),
        ("192.168.1.9", True),
        ("::1", True),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("evil.example", False),
        ("notlocalhost", False),
    ],
)
def test_only_names_that_strangers_cannot_own_are_local(name: str, local: bool) -> None:
    assert is_local_name(name) is local


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:11434", "a b"])
def test_a_foreign_host_is_refused(server: Serving, host: str) -> None:
    answer = server.get("/api/tags", headers={"Host": host})
    assert answer.status == 403
    assert "host" in answer.json["error"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "https://evil.example/http://localhost",
        "http://[",
        "",
    ],
)
def test_a_foreign_origin_is_refused(server: Serving, origin: str) -> None:
    answer = server.get("/api/tags", headers={"Origin": origin})
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://127.0.0.1", "app://x", "vscode-webview://abc"]
)
def test_a_local_page_may_read_the_answers(server: Serving, origin: str) -> None:
    answer = server.get("/api/tags", headers={"Origin": origin})
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == origin


def test_a_page_of_the_server_itself_may_read_them(server: Serving) -> None:
    assert server.get("/api/tags", headers={"Origin": server.url}).status == 200


def test_a_key_is_wanted_from_others_only_and_no_header_makes_one_of_us(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with serving(tmp_path_factory.mktemp("home"), AYLLU_API_KEYS="secret") as server:
        assert server.get("/api/tags", headers={"X-Forwarded-For": "10.1.2.3"}).status == 200
        assert server.get("/api/tags", headers={"X-Forwarded-For": "nonsense"}).status == 200


def call_guard(
    client: str, headers: dict[str, str], method: str = "GET", path: str = "/", registry: str = "on"
) -> tuple[int, str]:
    """The guard's status for a request from an address, 200 where it lets pass; its challenge."""
    answers: list[tuple[int, str]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            told = dict(message["headers"])
            answers.append((message["status"], told.get(b"www-authenticate", b"").decode()))

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    keys = {"AYLLU_API_KEYS": "one, two", "AYLLU_SERVE_REGISTRY": registry}
    settings = load_settings({"AYLLU_HOME": "/nowhere", **keys})
    raw = [(k.lower().encode(), v.encode()) for k, v in {"host": "box.local", **headers}.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "client": (client, 1)}
    asyncio.run(Guard(app, settings)(scope, receive, send))
    return answers[0]


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("192.168.1.5", {}, 401),
        ("192.168.1.5", {"Authorization": "Bearer two"}, 200),
        ("192.168.1.5", {"X-Api-Key": "one"}, 200),
        ("192.168.1.5", {"Authorization": "Bearer none", "X-Api-Key": "one"}, 200),
        ("192.168.1.5", {"Authorization": "Bearer three"}, 401),
        ("192.168.1.5", {"X-Forwarded-For": "127.0.0.1"}, 401),
    ],
)
def test_keys_open_the_server_to_other_machines(
    client: str, headers: dict[str, str], status: int
) -> None:
    assert call_guard(client, headers)[0] == status


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


@pytest.mark.parametrize("path", ["/v2/", "/v2/library/mini/manifests/latest", "/v2"])
def test_a_registrys_clients_show_the_key_as_a_password(path: str) -> None:
    other = "192.168.1.5"
    status, challenge = call_guard(other, {}, path=path)
    assert status == 401
    assert challenge.startswith('Basic realm="Ayllu"') is path.startswith("/v2/")
    assert call_guard(other, basic("anybody", "two"), path=path)[0] == 200
    assert call_guard(other, {"Authorization": "Bearer one"}, path=path)[0] == 200
    for wrong in (basic("two", ""), basic("", "three"), {"Authorization": "Basic !"}):
        assert call_guard(other, wrong, path=path)[0] == 401
    assert call_guard(other, {"Authorization": "Basic gA=="}, path=path)[0] == 401


def test_an_open_registry_wants_no_key_for_reading_and_nothing_else_is_open() -> None:
    other = "192.168.1.5"
    for method, path, status in [
        ("GET", "/v2/", 200),
        ("HEAD", "/v2/library/mini/blobs/x", 200),
        ("PUT", "/v2/library/mini/manifests/latest", 401),
        ("GET", "/api/tags", 401),
        ("GET", "/v2", 401),
        ("GET", "/v22/", 401),
    ]:
        assert call_guard(other, {}, method, path, "open")[0] == status
        assert call_guard(other, {}, method, path, "on")[0] == 401
        assert call_guard(other, {}, method, path, "off")[0] == 401


def test_a_preflight_request_is_answered(server: Serving) -> None:
    answer = server.request("OPTIONS", "/api/chat", headers={"Origin": "http://localhost:5173"})
    assert answer.status == 204
    assert "Authorization" in answer.headers["access-control-allow-headers"]


def test_more_origins_can_be_allowed(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    with serving(home, OLLAMA_ORIGINS="https://*.good.example") as server:
        good = {"Origin": "https://a.good.example"}
        assert server.get("/", headers=good).status == 200
        assert server.get("/", headers={"Origin": "https://good.example.evil"}).status == 403


def test_other_machines_are_let_in_by_key_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    home: Path = tmp_path_factory.mktemp("home")
    environment = clean_environment(home) | {"AYLLU_HOST": "0.0.0.0:0"}
    done = subprocess.run(
        [sys.executable, "-m", "ayllu", "serve"],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "AYLLU_API_KEYS" in done.stderr

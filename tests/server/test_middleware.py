from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from serving import Serving, clean_environment, serving

from ayllu.server.middleware import host_name, is_local_name


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

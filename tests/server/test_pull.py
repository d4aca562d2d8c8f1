"""Pulling from Debian's docker-registry: whole models, crashes, several at once, full disks."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import ollama
import psutil
import pytest
from model_maker import age, files_of
from registries import Registry, bad_registry, docker_registry
from serving import Serving, serving, wait_until
from small_disk import mounted
from token_registry import token_registry

from ayllu.models.manifest import LICENSE_TYPE, MODEL_TYPE, PARAMS_TYPE, digest_of
from ayllu.models.store import Store
from ayllu.registry.partial import CHUNK

BIG = 200 << 20
ALLOWED = {"AYLLU_REGISTRIES": "127.0.0.1"}

PRUNER = """
import sys
from pathlib import Path
from ayllu.models.store import Store
store = Store(Path(sys.argv[1]))
while True:
    store.prune(age=-1, partial_age=-1)
"""


@pytest.fixture(scope="module")
def big() -> bytes:
    return os.urandom(BIG)


@pytest.fixture(scope="module")
def registry(
    tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path, big: bytes
) -> Iterator[Registry]:
    """A registry with `me/chat`, and `me/big`, which has 200 MB more."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as running:
        running.put_gguf("me/chat", chat_gguf)
        running.put_model("me/big", [(MODEL_TYPE, chat_gguf.read_bytes()), (LICENSE_TYPE, big)])
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def pull(server: Serving, name: str, **more: Any) -> list[dict[str, Any]]:
    """The lines of a pull."""
    answer = server.post("/api/pull", {"model": name, "insecure": True, **more})
    assert answer.status == 200, answer.body
    lines: list[dict[str, Any]] = answer.lines
    return lines


def start_pull(server: Serving, name: str) -> Iterator[dict[str, Any]]:
    """The lines of a pull as they come."""
    with ollama.Client(host=server.url) as client:
        for line in client.pull(name, insecure=True, stream=True):
            yield line.model_dump(exclude_none=True)


def sent(registry: Registry, digest: str, since: int = 0, but: Collection[str] = ()) -> int:
    """How many bytes of a blob the registry has sent, `but` not to some addresses."""
    return sum(
        one["http.response.written"]
        for one in registry.requests[since:]
        if digest in one["http.request.uri"]
        and one["http.request.method"] == "GET"
        and one["http.request.remoteaddr"] not in but
    )


def test_a_model_is_pulled_in_ollamas_words_and_runs(
    registry: Registry, home: Path, chat_gguf: Path
) -> None:
    name = f"{registry.host}/me/chat"
    manifest = registry.put_gguf("me/chat", chat_gguf)
    model, config = json.loads(manifest)["layers"][0], json.loads(manifest)["config"]
    with serving(home, **ALLOWED) as server:
        lines = pull(server, name)
        for layer in (model, config):
            label = f"pulling {layer['digest'][7:19]}"
            moves = [line for line in lines if line["status"] == label]
            assert {(line["digest"], line["total"]) for line in moves} == {
                (layer["digest"], layer["size"])
            }
            assert moves[-1]["completed"] == layer["size"]
        statuses = list(dict.fromkeys(line["status"] for line in lines))
        assert statuses == [
            "pulling manifest",
            f"pulling {model['digest'][7:19]}",
            f"pulling {config['digest'][7:19]}",
            "verifying sha256 digest",
            "writing manifest",
            "success",
        ]
        row = next(
            row for row in server.get("/api/tags").json["models"] if "me/chat" in row["name"]
        )
        assert row["name"] == f"{name}:latest"
        assert row["digest"] == hashlib.sha256(manifest).hexdigest()
        answer = server.post("/api/generate", {"model": name, "prompt": "a", "stream": False})
        assert answer.json["done_reason"] == "stop"
        again = pull(server, name)
        assert [line for line in again if "digest" in line] == [
            {
                "status": f"pulling {layer['digest'][7:19]}",
                "digest": layer["digest"],
                "total": layer["size"],
                "completed": layer["size"],
            }
            for layer in (model, config)
        ]
    path = home / "models/manifests" / registry.host / "me/chat/latest"
    assert path.read_bytes() == manifest


def test_kill_9_loses_nothing_that_was_there(registry: Registry, home: Path, big: bytes) -> None:
    name, digest = f"{registry.host}/me/big", digest_of(big)
    blobs = home / "models/blobs"
    since, killed = len(registry.requests), list[str]()
    with serving(home, AYLLU_MAX_BANDWIDTH="100M", **ALLOWED) as server:
        for line in start_pull(server, name):
            if line.get("digest") == digest and line.get("completed", 0) > BIG // 3:
                ends = psutil.Process(server.process.pid).net_connections()
                killed = [f"{end.laddr.ip}:{end.laddr.port}" for end in ends if end.laddr]
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
                break
    journal = blobs / f"sha256-{digest[7:]}-partial-0"
    have = (len(journal.read_bytes().splitlines()) - 2) * CHUNK
    assert have > BIG // 4
    for path in blobs.glob("*-partial*"):
        age(path, 2 * 3600)  # R5: the start that follows prunes
    with serving(home, **ALLOWED) as server:
        assert pull(server, name)[-1] == {"status": "success"}
    wait_until(lambda: sent(registry, digest, since, killed) >= BIG - have)
    assert sent(registry, digest, since, killed) == BIG - have
    assert (blobs / f"sha256-{digest[7:]}").read_bytes() == big
    assert not list(blobs.glob("*-partial*"))


def test_two_servers_and_a_pruner_share_a_store(
    registry: Registry, tmp_path: Path, big: bytes
) -> None:
    name, digest = f"{registry.host}/me/big", digest_of(big)
    settings = {**ALLOWED, "AYLLU_MODELS": str(tmp_path / "models")}
    since, ends = len(registry.requests), list[list[dict[str, Any]]]()
    with serving(tmp_path / "a", **settings) as one, serving(tmp_path / "b", **settings) as two:
        pruner = subprocess.Popen(
            [sys.executable, "-c", PRUNER, settings["AYLLU_MODELS"]],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            threads = [
                threading.Thread(target=lambda server=server: ends.append(pull(server, name)))
                for server in (one, one, two)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            pruner.kill()
            pruner.wait()
    assert [lines[-1] for lines in ends] == [{"status": "success"}] * 3
    for lines in ends:
        sizes = [line.get("completed", 0) for line in lines if line.get("digest") == digest]
        assert sizes == sorted(sizes)
    wait_until(lambda: sent(registry, digest, since) >= BIG)
    assert sent(registry, digest, since) == BIG, "they fetched it more than once"
    assert Store(tmp_path / "models").blob_path(digest).read_bytes() == big
    assert not list((tmp_path / "models").rglob("*-partial*"))


def test_a_client_that_leaves_ends_the_download(registry: Registry, home: Path, big: bytes) -> None:
    name, partial = f"{registry.host}/me/big", f"sha256-{digest_of(big)[7:]}-partial"
    with serving(home, AYLLU_MAX_BANDWIDTH="50M", **ALLOWED) as server:
        for line in start_pull(server, name):
            if line.get("completed", 0) > 8 * CHUNK:
                break
        path = home / "models/blobs" / partial
        assert path.exists()

        def is_free() -> bool:
            done = subprocess.run(["flock", "-n", path, "true"], check=False)  # noqa: S607
            return done.returncode == 0

        wait_until(is_free)


def test_a_server_that_stops_ends_its_downloads_with_a_word(registry: Registry, home: Path) -> None:
    with serving(home, AYLLU_MAX_BANDWIDTH="1M", **ALLOWED) as server:
        answered: list[dict[str, Any]] = []
        for line in pull_until_error(server, f"{registry.host}/me/big"):
            if not answered:
                server.process.send_signal(signal.SIGTERM)
            answered.append(line)
        assert answered[-1]["error"].startswith("the server is stopping: pull again later")
        assert server.process.wait(30) == 0


def test_bandwidth_is_limited(registry: Registry, home: Path) -> None:
    with serving(home, AYLLU_MAX_BANDWIDTH="100M", **ALLOWED) as server:
        started = time.monotonic()
        pull(server, f"{registry.host}/me/big")
        assert time.monotonic() - started > BIG / (100 << 20) * 0.9


def test_a_disk_that_is_too_small_is_told_before_the_download(
    registry: Registry, tmp_path: Path, big: bytes
) -> None:
    since = len(registry.requests)
    with (
        mounted(tmp_path / "disk", "size=150m") as disk,
        serving(tmp_path / "home", AYLLU_MODELS=str(disk / "models"), **ALLOWED) as server,
    ):
        lines = pull(server, f"{registry.host}/me/big")
        assert "there is no space left in" in lines[-1]["error"]
        assert "AYLLU_MODELS" in lines[-1]["error"]
        assert files_of(disk / "models") == set()
        answer = server.post(
            "/api/pull",
            {"model": f"{registry.host}/me/big", "insecure": True, "stream": False},
        )
        assert answer.status == 500
    assert sent(registry, digest_of(big), since) == 0


def test_a_disk_that_fills_up_on_the_way_keeps_the_partial(
    registry: Registry, tmp_path: Path, big: bytes
) -> None:
    with mounted(tmp_path / "disk", "size=260m") as disk:
        settings = {"AYLLU_MODELS": str(disk / "models"), **ALLOWED}
        filler = disk / "filler"
        with serving(tmp_path / "home", AYLLU_MAX_BANDWIDTH="80M", **settings) as server:
            answered = []
            for line in pull_until_error(server, f"{registry.host}/me/big"):
                answered.append(line)
                if line.get("completed", 0) > 50 << 20 and not filler.exists():
                    with suppress(OSError):  # it is the first to notice, where we were slow
                        filler.write_bytes(bytes(120 << 20))
            assert "there is no space left in" in answered[-1]["error"]
            partial = f"sha256-{digest_of(big)[7:]}-partial"
            left = {path for path in files_of(disk / "models") if "partial" in path}
            assert left == {f"blobs/{partial}", f"blobs/{partial}-0"}
            assert server.get("/api/tags").status == 200
        filler.unlink()
        with serving(tmp_path / "home", **settings) as server:
            assert pull(server, f"{registry.host}/me/big")[-1] == {"status": "success"}


def pull_until_error(server: Serving, name: str) -> Iterator[dict[str, Any]]:
    """The lines as they come, an error's too."""
    try:
        yield from start_pull(server, name)
    except ollama.ResponseError as error:
        yield {"error": error.error}


def test_a_proxy_of_the_owners_is_asked_in_our_place(tmp_path: Path) -> None:
    with (
        bad_registry(tmp_path / "proxy") as proxy,
        serving(tmp_path / "home", HTTP_PROXY=proxy.url, **ALLOWED) as server,
    ):
        lines = pull(server, "registry.invalid/me/x")
        assert lines[-1] == {"error": "pull model manifest: file does not exist"}
        assert [one["path"] for one in proxy.requests] == [
            "http://registry.invalid/v2/me/x/manifests/latest"
        ]
        answer = server.post("/api/pull", {"model": "10.0.0.1/me/x", "insecure": True})
        assert answer.status == 403
        assert len(proxy.requests) == 1


def test_an_update_removes_what_only_the_old_version_had(
    registry: Registry, home: Path, chat_gguf: Path, base_gguf: Path
) -> None:
    name = f"{registry.host}/me/changing"
    registry.put_model("me/changing", [(MODEL_TYPE, chat_gguf.read_bytes()), (PARAMS_TYPE, b"{}")])
    with serving(home, **ALLOWED) as server:
        pull(server, name)
        own = f"{registry.host}/me/own"
        server.create(own, base_gguf)
        assert pull(server, name, update=True) == [
            {"status": "pulling manifest"},
            {"status": "up to date"},
            {"status": "success"},
        ]
        assert pull(server, own, update=True)[0] == {"status": "not pulled from a registry"}
        assert pull(server, "mini", update=True)[0] == {"status": "not pulled from a registry"}
        answer = server.post("/api/pull", {"model": "nobodys", "update": True})
        assert (answer.status, answer.json) == (404, {"error": "model 'nobodys:latest' not found"})
        registry.put_model("me/changing", [(MODEL_TYPE, base_gguf.read_bytes())])
        statuses = [line["status"] for line in pull(server, name, update=True)]
        assert statuses[-2:] == ["removing unused layers", "success"]
        registry.put_model("me/changing", [(MODEL_TYPE, chat_gguf.read_bytes())])
        rows = {
            "mini-draft:latest: not pulled from a registry",
            "mini:latest: not pulled from a registry",
            f"{own}:latest: not pulled from a registry",
        }
        done = server.ayllu("pull", "--all")
        assert (set(done.stdout.splitlines()), done.status) == (
            {*rows, f"{name}:latest: updated"},
            0,
        )
        done = server.ayllu("pull", "--all")
        assert f"{name}:latest: up to date" in done.stdout
        registry.put_model("me/changing", [(MODEL_TYPE, b"GGUF")])
        done = server.ayllu("pull", "--all")
        assert f"{name}:latest: failed: {name}:latest cannot be used: " in done.stdout
        assert done.status == 1
        store = Store(home / "models")
        assert not store.has_blob(digest_of(b"GGUF"))
        assert not store.has_blob(digest_of(b"{}"))
        assert store.has_blob(digest_of(chat_gguf.read_bytes()))


def test_tokens_are_given_for_signatures(tmp_path: Path, chat_gguf: Path) -> None:
    with docker_registry(tmp_path / "registry") as open_registry:
        open_registry.put_gguf("me/chat", chat_gguf)
    with (
        token_registry(tmp_path / "registry") as (front, _),
        serving(tmp_path / "home", **ALLOWED) as server,
    ):
        assert pull(server, f"{front.host}/me/chat")[-1] == {"status": "success"}
        assert front.granted == [["repository:me/chat:pull"]]
        assert pull(server, f"{front.host}/me/chat")[-1] == {"status": "success"}
        assert len(front.granted) == 1, "the token is kept"
        assert front.refused == 0
    with (
        token_registry(tmp_path / "registry", keys=set()) as (front, _),
        serving(tmp_path / "other", **ALLOWED) as server,
    ):
        lines = pull(server, f"{front.host}/me/chat")
        assert "gives this machine no token: register its public key" in lines[-1]["error"]
        assert front.refused == 1


def test_a_token_that_ran_out_is_replaced(tmp_path: Path, chat_gguf: Path) -> None:
    with docker_registry(tmp_path / "registry") as open_registry:
        open_registry.put_gguf("me/chat", chat_gguf)
    with (
        token_registry(tmp_path / "registry", seconds=-70) as (front, _),
        serving(tmp_path / "home", **ALLOWED) as server,
    ):
        lines = pull(server, f"{front.host}/me/chat")
        assert "does not allow this" in lines[-1]["error"]
        front.seconds = 300
        assert pull(server, f"{front.host}/me/chat")[-1] == {"status": "success"}

"""Files that are no models, models that the engine refuses, and disks that do not play along."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf_maker import make_successor_model, walk
from serving import Serving, clean_environment, serving, wait_until
from small_disk import mounted, remount_read_only

USER = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.create("chat", chat_gguf)
        yield running


def still_answers(server: Serving) -> None:
    body = {"model": "chat", "messages": USER, "stream": False}
    assert server.post("/api/chat", body).json["message"]["content"] == walk(26)


def whole(chat_gguf: Path) -> bytes:
    return chat_gguf.read_bytes()


def damaged(data: bytes) -> dict[str, bytes]:
    """Ways to break a model file."""
    return {
        "empty": b"",
        "four bytes": data[:4],
        "text": b"Once upon a time",
        "wrong magic": b"GGML" + data[4:],
        "old version": data[:4] + struct.pack("<I", 1) + data[8:],
        "big-endian": data[:4] + struct.pack(">I", 3) + data[8:],
        "absurd tensor count": data[:8] + struct.pack("<Q", 2**60) + data[16:],
        "absurd key count": data[:16] + struct.pack("<Q", 2**60) + data[24:],
        "cut in its header": data[:2000],
        "cut in its tensors": data[:-1000],
    }


@pytest.mark.parametrize("kind", damaged(b"GGUF" + bytes(3000)))
def test_a_damaged_file_never_becomes_a_model(server: Serving, chat_gguf: Path, kind: str) -> None:
    digest = server.upload(damaged(whole(chat_gguf))[kind])
    answer = server.post("/api/create", {"model": "bad", "files": {"bad.gguf": digest}})
    assert answer.status == 400
    assert "Traceback" not in answer.json["error"]
    names = {row["name"] for row in server.get("/api/tags").json["models"]}
    assert "chat:latest" in names
    assert "bad:latest" not in names
    still_answers(server)


def test_a_model_of_an_unknown_architecture_is_refused_by_the_engine_in_words(
    server: Serving, tmp_path: Path
) -> None:
    extra = {
        "general.architecture": "nova",
        "nova.context_length": 512,
        "nova.embedding_length": 288,
        "nova.block_count": 1,
    }
    server.create("nova", make_successor_model(tmp_path / "nova.gguf", extra=extra))
    answer = server.post("/api/generate", {"model": "nova", "prompt": "a"})
    assert answer.status == 500
    assert "nova:latest could not be loaded" in answer.json["error"]
    assert "does not know the architecture 'nova'" in answer.json["error"]
    assert server.request("DELETE", "/api/delete", {"model": "nova"}).status == 200
    still_answers(server)


def test_a_model_that_breaks_the_engine_while_it_loads_is_told_with_the_reason(
    server: Serving, tmp_path: Path
) -> None:
    # The header is sound, but the engine wants a norm for each of two layers.
    model = make_successor_model(tmp_path / "two.gguf", extra={"llama.block_count": 2})
    server.create("two", model)
    answer = server.post("/api/generate", {"model": "two", "prompt": "a"})
    assert answer.status == 500
    assert "lacks the tensor 'blk.1." in answer.json["error"]
    assert server.request("DELETE", "/api/delete", {"model": "two"}).status == 200
    still_answers(server)
    wait_until(lambda: len(server.engines()) <= 1, what="the broken engine being gone")


@pytest.mark.parametrize("kills", [1, 99])
def test_an_engine_killed_while_it_loads_is_started_again_a_few_times(
    tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path, kills: int
) -> None:
    """The engine is a small program that is killed at its first starts and is real afterwards."""
    home = tmp_path_factory.mktemp("home")
    starts = home / "starts"
    wrapper = home / "bin" / "llama-server"
    wrapper.parent.mkdir()
    real = json.loads(engine_folder(home))
    wrapper.write_text(
        "#!/bin/sh\n"
        'case " $* " in *" --model "*)\n'
        f'  echo >> "{starts}"; [ $(wc -l < "{starts}") -gt {kills} ] || kill -9 $$;;\n'
        "esac\n"
        f'exec "{real}/llama-server" "$@"\n'
    )
    wrapper.chmod(0o755)
    (wrapper.parent / "ggml-rpc-server").symlink_to(Path(real) / "ggml-rpc-server")
    with serving(home, AYLLU_LLAMA_BIN=str(wrapper.parent)) as server:
        server.create("chat", chat_gguf)
        if kills == 1:
            still_answers(server)
            return
        answer = server.post("/api/generate", {"model": "chat", "prompt": "a"})
        assert answer.status == 500
        assert "could not be loaded: the engine was killed" in answer.json["error"]
        assert 1 < len(starts.read_text().splitlines()) < 10


def engine_folder(home: Path) -> str:
    code = (
        "import json; from ayllu.runner.engine import built_folder; "
        "print(json.dumps(str(built_folder())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(home), capture_output=True, check=True
    )
    return done.stdout.decode()


@pytest.mark.parametrize(
    ("flags", "words"),
    [("", "is too old"), (None, "there is no llama-server")],
)
def test_an_engine_that_does_not_fit_is_refused_with_the_remedy(
    tmp_path: Path, flags: str | None, words: str
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    if flags is not None:
        program = folder / "llama-server"
        program.write_text("#!/bin/sh\necho 'version: 1 (abcdef0)'\n")
        program.chmod(0o755)
    environment = clean_environment(tmp_path) | {
        "AYLLU_LLAMA_BIN": str(folder),
        "AYLLU_HOST": "127.0.0.1:0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "ayllu", "serve"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "make setup" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../etc/passwd",
        "sha256:" + "a" * 63,
        "sha256-" + "a" * 65,
        "md5:" + "a" * 64,
        "..%2f..%2fetc%2fpasswd",
        "sha256:" + "%2e%2e%2f" * 8,
    ],
)
def test_no_digest_leads_out_of_the_store(server: Serving, digest: str) -> None:
    for method in ("HEAD", "POST"):
        assert server.request(method, f"/api/blobs/{digest}", b"x").status in {400, 404}
    answer = server.post("/api/create", {"model": "bad", "files": {"a.gguf": digest}})
    assert answer.status == 400


def test_a_blob_with_another_digest_is_refused_and_not_kept(server: Serving) -> None:
    digest = "sha256:" + "0" * 64
    answer = server.post(f"/api/blobs/{digest}", b"something else")
    assert answer.status == 400
    assert "digest mismatch" in answer.json["error"]
    assert server.request("HEAD", f"/api/blobs/{digest}").status == 404


def test_a_full_disk_is_told_and_what_was_there_stays(
    tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path
) -> None:
    home = tmp_path_factory.mktemp("home")
    disk_folder = tmp_path_factory.mktemp("disk")
    with (
        mounted(disk_folder, "size=4m") as disk,
        serving(home, AYLLU_MODELS=str(disk / "models")) as server,
    ):
        server.create("chat", chat_gguf)
        before = sorted(path.name for path in (disk / "models" / "blobs").iterdir())
        data = os.urandom(4 << 20)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        answer = server.post(f"/api/blobs/{digest}", data)
        assert answer.status == 500
        assert "no space left" in answer.json["error"]
        assert sorted(path.name for path in (disk / "models" / "blobs").iterdir()) == before
        still_answers(server)


def test_a_read_only_models_folder_serves_what_it_has_and_refuses_the_rest(
    tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path
) -> None:
    home = tmp_path_factory.mktemp("home")
    disk_folder = tmp_path_factory.mktemp("disk")
    with mounted(disk_folder, "size=8m") as disk:
        settings = {"AYLLU_MODELS": str(disk / "models")}
        with serving(home, **settings) as server:
            server.create("chat", chat_gguf)
        remount_read_only(disk)
        with serving(home, **settings) as server:
            still_answers(server)
            requests: list[tuple[str, str, Any]] = [
                ("POST", "/api/blobs/sha256:" + hashlib.sha256(b"x").hexdigest(), b"x"),
                ("POST", "/api/copy", {"source": "chat", "destination": "other"}),
                ("POST", "/api/create", {"model": "new", "from": "chat", "system": "s"}),
                ("DELETE", "/api/delete", {"model": "chat"}),
            ]
            for method, path, body in requests:
                answer = server.request(method, path, body)
                assert answer.status == 500, path
                assert "read-only" in answer.json["error"].lower(), answer.body
            still_answers(server)


def test_killing_the_server_in_an_upload_leaves_nothing_half_written(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("home")
    data = os.urandom(1 << 20)
    digest = "sha256:" + hashlib.sha256(data * 64).hexdigest()
    with serving(home) as server:
        host, port = server.url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port))
        connection.putrequest("POST", f"/api/blobs/{digest}")
        connection.putheader("Content-Length", str(64 << 20))
        connection.endheaders()
        for _ in range(8):
            connection.send(data)
        time.sleep(0.3)
        server.process.kill()
        server.process.wait()
        connection.close()
    blobs = home / "models" / "blobs"
    assert not (blobs / digest.replace(":", "-")).exists()
    with serving(home) as server:
        assert server.request("HEAD", f"/api/blobs/{digest}").status == 404
        assert server.post(f"/api/blobs/{digest}", data * 64).status == 201
        assert (blobs / digest.replace(":", "-")).read_bytes() == data * 64

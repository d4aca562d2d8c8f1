"""Registries for tests and benches: Debian's docker-registry, and one that misbehaves on demand."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import bad_registry as bad_registry_program
import msgspec
import pytest
from bad_registry import Fault

from ayllu.models.manifest import CONFIG_TYPE, MANIFEST_TYPE, MODEL_TYPE

START_SECONDS = 20.0
_CONFIG = """
version: 0.1
log: {{level: info, formatter: json, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:0"}}
{more}
"""


class Models:
    """Something that models are put into."""

    def put_blob(self, model: str, data: bytes) -> str:
        """Store a blob; returns its digest."""
        raise NotImplementedError

    def put_manifest(self, model: str, tag: str, manifest: bytes) -> None:
        """Store a manifest as it is."""
        raise NotImplementedError

    def put_model(
        self, model: str, layers: Sequence[tuple[str, bytes]], *, tag: str = "latest", **config: Any
    ) -> bytes:
        """Store a model of some (media type, bytes); returns its manifest's bytes."""
        head = json.dumps({"model_format": "gguf", **config}).encode()
        manifest = manifest_of(
            (CONFIG_TYPE, self.put_blob(model, head), len(head)),
            [(kind, self.put_blob(model, data), len(data)) for kind, data in layers],
        )
        self.put_manifest(model, tag, manifest)
        return manifest

    def put_gguf(self, model: str, path: Path, *, tag: str = "latest") -> bytes:
        """Store a model of one GGUF."""
        return self.put_model(model, [(MODEL_TYPE, path.read_bytes())], tag=tag)


class Registry(Models):
    """A running docker-registry; `host` is `127.0.0.1:port`, as in a model's name."""

    def __init__(self, port: int, folder: Path, log: Path) -> None:
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"
        self.folder = folder
        self._log = log

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What was asked so far: `http.request.method`, `.uri`, `http.response.written` ..."""
        text = self._log.read_text("utf-8").splitlines()
        lines = [json.loads(line) for line in text if line.startswith("{")]
        return [line for line in lines if line["msg"].startswith("response completed")]

    def ask(
        self, method: str, path: str, data: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a request."""
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        request = urllib.request.Request(  # noqa: S310 - always our own registry
            urljoin(self.url, path), data, sent, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return response.status, dict(response.headers), response.read()

    def put_blob(self, model: str, data: bytes) -> str:
        """Upload a blob in one piece; returns its digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        _, headers, _ = self.ask("POST", f"/v2/{model}/blobs/uploads/", b"")
        place = headers["Location"]
        mark = "&" if urlsplit(place).query else "?"
        self.ask(
            "PUT",
            f"{place}{mark}digest={digest}",
            data,
            Content_Type="application/octet-stream",
        )
        return digest

    def put_manifest(self, model: str, tag: str, manifest: bytes) -> None:
        """Upload a manifest as it is."""
        self.ask("PUT", f"/v2/{model}/manifests/{tag}", manifest, Content_Type=MANIFEST_TYPE)


class BadRegistry(Models):
    """A running bad_registry.py."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"
        self._folder = folder

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What was asked so far: `method`, `path`, `headers`, and `sent`, the bytes of body."""
        with socket.create_connection(("127.0.0.1", self._port), 10) as ping:
            ping.sendall(b"GET /ping HTTP/1.1\r\n\r\n")
            ping.recv(1000)  # by now it has written down what was answered before
        lines = (self._folder / "requests.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def put_blob(self, model: str, data: bytes) -> str:
        """Store a blob, which all models share."""
        del model
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        (self._folder / "blobs" / digest).write_bytes(data)
        return digest

    def put_manifest(self, model: str, tag: str, manifest: bytes) -> None:
        """Store a manifest."""
        path = self._folder / "manifests" / model / tag
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(manifest)


@contextmanager
def bad_registry(folder: Path, *faults: Fault) -> Iterator[BadRegistry]:
    """A registry with some faults, for the time of a block."""
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    (folder / "faults.json").write_bytes(msgspec.json.encode(faults))
    command = [sys.executable, bad_registry_program.__file__, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield BadRegistry(int(process.stdout.readline()), folder)
        finally:
            process.kill()


def manifest_of(config: tuple[str, str, int], layers: Sequence[tuple[str, str, int]]) -> bytes:
    """A manifest of (media type, digest, size), indented as no encoder of ours would."""
    first, *others = [
        {"mediaType": kind, "digest": digest, "size": size}
        for kind, digest, size in (config, *layers)
    ]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": first, "layers": others}
    return json.dumps(manifest, indent=3).encode()


@contextmanager
def docker_registry(folder: Path, more: str = "") -> Iterator[Registry]:
    """A registry for the time of a block; `more` is YAML to add, as for token authentication."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("Debian's docker-registry is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    log, config = folder / "registry.log", folder / "config.yml"
    config.write_text(_CONFIG.format(folder=folder / "data", more=more), "utf-8")
    log.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen([program, "serve", config], stdout=output, stderr=output)
    try:
        yield Registry(_port(process, log), folder, log)
    finally:
        process.terminate()
        process.wait(10)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port that it chose, by its log."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"listening on 127\.0\.0\.1:(\d+)", log.read_text("utf-8")):
            return int(found[1])
        time.sleep(0.02)
    process.kill()
    process.wait()
    pytest.fail(f"docker-registry did not start:\n{log.read_text('utf-8')}")

"""A real `ayllu serve` for a test: its own home, a free port, a client, and a thorough end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import psutil
import pytest

from ayllu.cluster.folder import FOLDER
from ayllu.cluster.hardware import hardware
from ayllu.cluster.measure import MEASURED, Measured, fingerprint
from ayllu.cluster.record import Speed

START_SECONDS = 60.0
STOP_SECONDS = 30.0
KNOWN: list[Speed] = []
"""What servers take for measured before (`conftest.py`); without it, as in a bench, they measure
themselves, which takes all cores for seconds."""

Inside = Callable[[], AbstractContextManager[None]]
"""Has a thread be in a network for a block (`lan.py`)."""


class Answer(NamedTuple):
    """An HTTP answer: `json` is its body, or its lines where it has several."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines() if line]


class Ran(NamedTuple):
    """A command that has ended."""

    stdout: str
    stderr: str
    status: int


def ayllu(environment: Mapping[str, str], *arguments: str, stdin: str = "") -> Ran:
    """The command line, run to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "ayllu", *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Ran(done.stdout, done.stderr, done.returncode)


class Serving:
    """A server under test; `inside` is the network that it is in."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        url: str,
        home: Path,
        log: Path,
        inside: Inside = nullcontext,
    ) -> None:
        self.process = process
        self.url = url
        self.home = home
        self.log = log
        self.inside = inside

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command that is to use this server."""
        return clean_environment(self.home) | {"AYLLU_HOST": self.url}

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Answer:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - always our own server
            self.url + path, data, dict(headers or {}), method=method
        )
        try:
            with self.inside(), urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
                return Answer(response.status, response.read(), dict(response.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), dict(error.headers))

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.request("POST", path, body, **options)

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def ayllu(self, *arguments: str, stdin: str = "") -> Ran:
        """The command line on this server."""
        with self.inside():
            return ayllu(self.environment, *arguments, stdin=stdin)

    def create(self, name: str, *ggufs: Path, **more: Any) -> None:
        """Make a model of GGUFs through the API, as `ayllu create` does."""
        files = {gguf.name: self.upload(gguf.read_bytes()) for gguf in ggufs}
        self.make(name, files=files, **more)

    def upload(self, data: bytes) -> str:
        """Make a blob of some bytes; returns its digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        assert self.post(f"/api/blobs/{digest}", data).status in {200, 201}
        return digest

    def make(self, name: str, **fields: Any) -> None:
        """Make a model of what the store has."""
        answer = self.post("/api/create", {"model": name, "stream": False, **fields})
        assert answer.json == {"status": "success"}, answer.body

    def engines(self) -> list[psutil.Process]:
        """The llama-servers that this server runs."""
        return [child for child in self._children() if is_engine(child)]

    def workers(self) -> list[psutil.Process]:
        """The programs that hold layers for other machines."""
        return self.programs("rpc-server")

    def programs(self, *words: str) -> list[psutil.Process]:
        """What else it runs: the programs whose command lines have all of the words."""
        found = []
        for child in self._children():
            with suppress(psutil.NoSuchProcess):
                command = " ".join(child.cmdline())
                if all(word in command for word in words):
                    found.append(child)
        return found

    def _children(self) -> list[psutil.Process]:
        """Its children and theirs, of which any may end at any time."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def busy_slots(self) -> int:
        """How many slots of the engines are at work, by their own account; -1 if one is going."""
        try:
            processes = [(one.cmdline(), one.environ()) for one in self.engines()]
            sockets = [
                (command[command.index("--host") + 1], environment["LLAMA_API_KEY"])
                for command, environment in processes
            ]
            return sum(asyncio.run(_busy(*socket)) for socket in sockets)
        except (psutil.Error, ValueError, KeyError, aiohttp.ClientError):
            return -1  # or another is only starting

    def stop(self) -> int:
        """End it politely; returns its exit status. One that goes on says what its threads do."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(STOP_SECONDS)
            pytest.fail(f"the server did not stop:\n{self.log.read_text('utf-8')}")


async def _busy(path: str, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path), headers=headers) as session,
        session.get("http://engine/slots") as response,
    ):
        response.raise_for_status()
        return sum(slot["is_processing"] for slot in await response.json())


def children() -> list[psutil.Process]:
    """What this process has started and its children, but for what waits for other tests."""
    found = []
    for child in psutil.Process().children():
        try:
            command = child.cmdline()
            waits = "serve" in command or any(one.endswith("warm_python.py") for one in command)
            if not waits and child.name() != "oracle":
                found += [child, *child.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    return found


def is_engine(process: psutil.Process) -> bool:
    try:
        return process.name().startswith("llama-server")
    except psutil.NoSuchProcess:
        return False


def clean_environment(home: Path) -> dict[str, str]:
    """The caller's environment without any setting of ours or Ollama's, and without the internet.

    A name without a host means a registry out there, and no test may ask that one. Reading the
    certificates of those out there would cost every start 0.06 s.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AYLLU_", "OLLAMA_"))}
    return kept | {
        "AYLLU_HOME": str(home),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONWARNINGS": "default",
        "SSL_CERT_FILE": os.devnull,
        "TMPDIR": str(home),
    }


def launch(home: Path, inside: Inside = nullcontext, /, **settings: str) -> Serving:
    """Start a server; the caller ends it. Fails with its log when it does not come up."""
    home.mkdir(parents=True, exist_ok=True)
    if KNOWN:
        was_measured(home, Path(settings.get("AYLLU_MODELS", home / "models")), KNOWN[0])
    log = home / "serve.log"
    environment = clean_environment(home) | {"AYLLU_HOST": "127.0.0.1:0", **settings}
    with log.open("ab") as output, inside():
        process = subprocess.Popen(
            [sys.executable, "-m", "ayllu", "serve"], env=environment, stdout=output, stderr=output
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text("utf-8").splitlines():
            if "ayllu is listening" in line:
                url = json.loads(line)["url"]
                serving = Serving(process, url, home, log, inside)
                if _answers(serving):
                    return serving
        time.sleep(0.01)
    process.kill()
    process.wait()
    pytest.fail(f"the server did not start ({process.returncode}):\n{log.read_text('utf-8')}")


def was_measured(home: Path, models: Path, speed: Speed) -> None:
    """Have a server believe that this machine was measured before.

    A file that is there stays: an empty one says that it was not.
    """
    path = home / FOLDER / MEASURED
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(msgspec.json.encode(Measured(fingerprint(hardware(()), models), speed)))


@contextmanager
def serving(home: Path, inside: Inside = nullcontext, /, **settings: str) -> Iterator[Serving]:
    """A server for the time of a block; nothing it started is left after it."""
    server = launch(home, inside, **settings)
    children = []
    try:
        yield server
        children = server.engines()
    finally:
        children += server.engines()
        server.stop()
        _, alive = psutil.wait_procs(children, timeout=10)
        for process in alive:
            process.kill()
    assert not alive, "an engine outlived its server"
    assert not list(home.glob("ayllu-*")), "a socket folder was left behind"


def _answers(server: Serving) -> bool:
    try:
        return server.get("/").status == 200
    except OSError:
        return False


def wait_until(condition: Callable[[], object], seconds: float = 15.0, what: str = "it") -> None:
    """Wait for something that takes an unknown but short time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)

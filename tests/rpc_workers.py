"""A model with tensors that an RPC worker caches, real workers, real heads, and what crosses."""

from __future__ import annotations

import json
import os
import re
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
from gguf_maker import successor_parts
from gguf_writer import write_gguf
from serving import wait_until

from ayllu.config import load_settings
from ayllu.deploy.worker_request import WorkerRequest
from ayllu.gguf.tool import ENGINE_ENVIRONMENT
from ayllu.runner.engine import find_engine
from ayllu.runner.options import LoadOptions, Worker, engine_arguments
from ayllu.types import Layer

WIDE = 10240
"""Numbers of a feed-forward layer: a matrix of 11.25 MiB in F32."""
LARGE_PER_LAYER = 3
_URL = re.compile(r"listening on (http://\S+)")


def make_wide_model(path: Path, layers: int = 3, width: int = WIDE) -> Path:
    """Write a llama model of some layers, each with three matrices that the cache can hold.

    What it says follows from all of its weights, which are random.
    """
    random = np.random.default_rng(11)
    kvs, tensors = successor_parts(context=512)
    block = {name: tensor for name, tensor in tensors.items() if name.startswith("blk.0.")}
    size = block["blk.0.attn_norm.weight"].shape[0]
    shapes = {"ffn_gate": (width, size), "ffn_up": (width, size), "ffn_down": (size, width)}
    for layer in range(layers):
        for name, tensor in block.items():
            shape = shapes.get(name.split(".")[2], tensor.shape)
            filled = tensor if "norm" in name else 0.05 * random.standard_normal(shape, np.float32)
            tensors[name.replace("blk.0.", f"blk.{layer}.")] = filled
    sizes = {"llama.block_count": layers, "llama.feed_forward_length": width}
    return write_gguf(path, kvs | sizes, tensors)


def part_of(layer: Layer, first: int, layers: int) -> WorkerRequest:
    """What a worker is asked for that is to hold some layers of a file."""
    return WorkerRequest(
        deployment="d",
        fence=1,
        model="h/n/wide:latest",
        digest=layer.digest,
        size=layer.size,
        first=first,
        layers=layers,
        room=1 << 30,
    )


class Relay:
    """A way to a port of this machine that counts the bytes that go there."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self._port = port
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", port)) as far:
                    relay.join(self.request, far)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Let nobody through any more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def join(self, near: socket.socket, far: socket.socket) -> None:
        """One connection, until both ends are done."""
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=self._pass_on, args=(far, near))
        back.start()
        self._pass_on(near, far)
        back.join()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        there = target.getpeername()[1] == self._port
        with suppress(OSError):
            while data := source.recv(1 << 20):
                self.sent += len(data) if there else 0
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def rpc_worker(cache: Path) -> Iterator[Relay]:
    """An RPC worker whose `$LLAMA_CACHE` is a folder, behind a relay."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = find_engine(load_settings({})).rpc_server
    command = [str(program), "-c", "-t", "1", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, LLAMA_CACHE=str(cache)):
        wait_until(lambda: _listens(port), what="the worker")
        relay = Relay(port)
        try:
            yield relay
        finally:
            relay.close()


@contextmanager
def head(model: Path, home: Path, *workers: Worker) -> Iterator[str]:
    """A llama-server whose last layers are with workers; its address."""
    load = LoadOptions(model=model, context=256, batch=128, threads=1, workers=workers)
    arguments = engine_arguments(load, host="127.0.0.1", slots=home)
    with _running([str(find_engine(load_settings({})).server), *arguments]) as log:
        wait_until(lambda: _URL.search(log.read_text("utf-8", "replace")), 60, "the head")
        found = _URL.search(log.read_text("utf-8", "replace"))
        assert found
        yield found[1]


def say(url: str, prompt: str = "the quick brown fox", tokens: int = 24) -> str:
    """What a llama-server goes on with, greedily."""
    body = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "top_k": 1, "ignore_eos": True}
    connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.request(
            "POST", "/completion", json.dumps(body), {"content-type": "application/json"}
        )
        content: str = json.load(connection.getresponse())["content"]
    finally:
        connection.close()
    return content


@contextmanager
def _running(command: list[str], **environment: str) -> Iterator[Path]:
    """A program of the engine's; yields where its log is."""
    with tempfile.NamedTemporaryFile() as log:
        env = os.environ | ENGINE_ENVIRONMENT | environment
        process = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield Path(log.name)
        finally:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

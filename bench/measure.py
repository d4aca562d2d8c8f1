"""What the benchmarks share: a raw llama-server beside ours, one client for both, medians."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from gguf_maker import CHATML, make_successor_model

from ayllu.config import load_settings
from ayllu.gguf.tool import ENGINE_ENVIRONMENT
from ayllu.runner import fit
from ayllu.runner.engine import find_engine
from ayllu.runner.options import LoadOptions, engine_arguments

_START_SECONDS = 120.0
_SAMPLING = {"temperature": 0, "seed": 1, "top_k": 40, "top_p": 0.9, "min_p": 0}


class Stream(NamedTuple):
    """One streamed answer: seconds to its first token, tokens per second after it."""

    first: float
    rate: float
    tokens: int


def model_path() -> Path:
    """The GGUF named on the command line, or a small model made for the occasion."""
    if len(sys.argv) > 1:
        return Path(sys.argv[1])
    path = Path(tempfile.gettempdir()) / "ayllu-bench.gguf"
    return make_successor_model(path, chat_template=CHATML, context=4096)


@contextmanager
def child(command: list[Any], pattern: str, env: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """A server process: its pid and what the pattern found in its output."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env=os.environ | dict(env), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while time.monotonic() < deadline and process.poll() is None:
                os.lseek(log.fileno(), 0, os.SEEK_SET)
                if found := re.search(pattern, os.read(log.fileno(), 1 << 20).decode()):
                    yield process.pid, found.group(1)
                    return
                time.sleep(0.01)
            raise RuntimeError(f"{command[0]} did not start")
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)


@contextmanager
def raw_server(
    model: Path, home: Path, parallel: int, *projectors: Path
) -> Iterator[tuple[int, str]]:
    """llama-server itself, started with the flags that ours would start it with."""
    settings = load_settings({"AYLLU_HOME": str(home)})
    facts = fit.model_facts(model, settings.kv_cache_type)
    load = LoadOptions(
        model=model,
        context=fit.choose_context(None, settings.context_length, facts.trained_context),
        parallel=parallel,
        batch=fit.CPU_BATCH,
        projectors=projectors,
        cache_ram=settings.cache_ram,
    )
    arguments = engine_arguments(load, host="127.0.0.1", slots=home)
    command = [find_engine(settings).server, *arguments]
    with child(command, r"listening on (http://\S+)", ENGINE_ENVIRONMENT) as found:
        yield found


@asynccontextmanager
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client without limits of its own; llama-server closes connections after a stream."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def raw_chat(
    session: aiohttp.ClientSession, url: str, prompt: str, tokens: int, image: str = ""
) -> Stream:
    """An answer of llama-server's own chat route; an image is base64."""
    seen = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{image}"}}
    parts = [seen, {"type": "text", "text": prompt}]
    body = {
        "messages": [{"role": "user", "content": parts if image else prompt}],
        "max_tokens": tokens,
        "stream": True,
        **_SAMPLING,
    }

    def is_token(line: bytes) -> bool:
        return line.startswith(b"data: ") and b'"content":"' in line

    return await _timed(session, f"{url}/v1/chat/completions", body, is_token)


async def our_chat(
    session: aiohttp.ClientSession, url: str, model: str, prompt: str, tokens: int, *images: str
) -> Stream:
    """The same through our /api/chat."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt, "images": images}],
        "options": {"num_predict": tokens, **_SAMPLING},
    }

    def is_token(line: bytes) -> bool:
        return b'"content":"' in line and b'"content":""' not in line

    return await _timed(session, f"{url}/api/chat", body, is_token)


async def _timed(
    session: aiohttp.ClientSession,
    url: str,
    body: Mapping[str, Any],
    is_token: Callable[[bytes], bool],
) -> Stream:
    started = time.perf_counter()
    times: list[float] = []
    async with session.post(url, json=body) as response:
        async for line in response.content:
            now = time.perf_counter()
            if is_token(line):
                times.append(now)
    if len(times) < 2:
        raise RuntimeError(f"{url} gave {len(times)} tokens")
    rate = (len(times) - 1) / (times[-1] - times[0])
    return Stream(times[0] - started, rate, len(times))


def show(name: str, values: list[float], unit: str) -> float:
    """Print a median with its range; returns the median."""
    middle = statistics.median(values)
    print(f"{name:<44}{middle:10.2f} {unit:<6} ({min(values):.2f} to {max(values):.2f})")
    return middle


def run(main: Callable[[], Any]) -> None:
    """Run an asynchronous benchmark."""
    asyncio.run(main())

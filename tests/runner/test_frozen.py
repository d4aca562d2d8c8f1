"""A model with a layer on another machine: one that freezes, and adapters that are there too."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from gguf_maker import make_random_adapter, make_successor_model, walk
from msgspec import structs
from serving import wait_until
from talking import ask, model_of, with_pool

from ayllu.chat.request import ChatRequest
from ayllu.config import load_settings
from ayllu.models.model import Model
from ayllu.models.shelf import ASSETS
from ayllu.runner.engine import find_engine
from ayllu.runner.options import LoadOptions, Worker
from ayllu.runner.pool import Pool
from ayllu.runner.split import Share
from ayllu.types import Message, Options

MINI = ASSETS / "mini-f16.gguf"


class OneShare:
    """The layer of a model in a worker, for its first load only; after that there is none.

    Nor is there one while it is not `wanted`.
    """

    def __init__(self, endpoint: str, *, wanted: bool = True) -> None:
        self._endpoint = endpoint
        self.wanted = wanted
        self.size = 0
        self.lost = ""
        self.ended: list[bool] = []
        self.load = LoadOptions(model=Path(), context=0)

    async def split(self, model: Model, load: LoadOptions) -> Share | None:
        if self.load.workers or not self.wanted:
            return None
        assert load.model == model.path
        self.load = structs.replace(load, workers=(Worker(self._endpoint, 1),))
        return self

    def watch(self, on_loss: Callable[[str], object]) -> None:
        """Its connections stay well, so nobody is told."""

    async def end(self, *, crashed: bool) -> None:
        self.ended.append(crashed)

    def is_pinned(self, model: Model) -> bool:
        return model.name.model == "pinned"


@pytest.fixture
def worker(tmp_path: Path, free_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An RPC worker on the port."""
    program = find_engine(load_settings({"AYLLU_HOME": str(tmp_path)})).rpc_server
    command = [str(program), "--host", "127.0.0.1", "--port", str(free_port)]
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
    try:
        wait_until(psutil.Process(process.pid).net_connections, what="its start")
        yield process
    finally:
        process.kill()
        process.wait()


def test_an_answer_goes_on_without_a_worker_that_froze(
    tmp_path: Path, free_port: int, worker: subprocess.Popen[bytes]
) -> None:
    model = model_of("m", make_successor_model(tmp_path / "m.gguf", context=2048))
    request = ChatRequest(raw="a", options=Options(temperature=0, num_predict=800))

    async def work(pool: Pool) -> None:
        share = pool.splitter = OneShare(f"127.0.0.1:{free_port}")
        told = await ask(pool, model, request, strikes=[50], strike=freeze)
        assert told.text == walk(800, "b")
        assert len(told.runs) == 2, "it froze too late"
        assert share.ended == [True]

    def freeze() -> None:
        worker.send_signal(signal.SIGSTOP)

    with_pool(tmp_path, work)


def test_a_model_with_a_part_elsewhere_has_its_adapters_there(
    tmp_path: Path, free_port: int, worker: subprocess.Popen[bytes]
) -> None:
    adapter = make_random_adapter(tmp_path / "a.gguf", MINI, 1, strength=1.5)
    models = [model_of("b", MINI), structs.replace(model_of("t", MINI), adapters=(adapter,))]
    messages = (Message(role="user", content="What does a cow eat?"),)
    options = Options(temperature=0, num_predict=16)
    request = ChatRequest(messages=messages, options=options, think=False)

    async def work(pool: Pool) -> None:
        share = pool.splitter = OneShare(f"127.0.0.1:{free_port}", wanted=False)
        wanted = [(await ask(pool, model, request)).text for model in models]
        assert wanted[0] != wanted[1]
        for model in models:
            await pool.unload(model.digest)
        share.wanted = True
        for number in (1, 0, 1, 0):
            assert (await ask(pool, models[number], request)).text == wanted[number]
        assert share.load.workers
        assert share.load.adapters == (adapter,)
        assert share.ended == []

    with_pool(tmp_path, work)
    assert worker.poll() is None

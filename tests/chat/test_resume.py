"""Answers whose engine is killed in their middle: whole, the same, and no token made twice."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from serving import is_engine

from ayllu.chat.request import ChatRequest
from ayllu.chat.said import Item, Said, Step
from ayllu.chat.session import answer
from ayllu.config import load_settings
from ayllu.models.model import Model
from ayllu.models.name import parse_name
from ayllu.runner.engine import find_engine
from ayllu.runner.pool import Pool
from ayllu.types import DoneEvent, Event, Message, Options, TextEvent, ThinkingEvent

GREEDY = Options(temperature=0, num_predict=60)
USER = (Message(role="user", content="What is the capital of Peru?"),)
PLAIN = "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}assistant:"


class Told(NamedTuple):
    """An answer: its Events, and its record."""

    events: list[Event]
    items: list[Item]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextEvent))

    @property
    def thinking(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ThinkingEvent))

    @property
    def done(self) -> DoneEvent:
        last = self.events[-1]
        assert isinstance(last, DoneEvent)
        return last

    @property
    def steps(self) -> int:
        return sum(isinstance(item, Step) for item in self.items)


def engines() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if is_engine(child)]


async def ask(
    pool: Pool,
    model: Model,
    request: ChatRequest,
    *,
    kills: Collection[int] = (),
    number: signal.Signals = signal.SIGKILL,
    said: Said | None = None,
    again: bool = False,
) -> Told:
    """An answer; the engine gets a signal after so many steps of it."""
    told = Told([], [])

    def observe(item: Item) -> None:
        told.items.append(item)
        if isinstance(item, Step) and told.steps in kills:
            for engine in engines():
                os.kill(engine.pid, number)

    events = answer(pool, model, request, said=said, again=again, observe=observe)
    async with aclosing(events):
        async for event in events:
            told.events.append(event)
    return told


def model_of(name: str, gguf: Path, *drafts: Path) -> Model:
    return Model(name=parse_name(name), digest=name * 64, path=gguf, drafts=drafts)


def with_pool(home: Path, work: Callable[[Pool], Awaitable[None]], **changes: str) -> None:
    """Run some work with a pool of its own."""

    async def whole() -> None:
        named = {f"AYLLU_{name.upper()}": text for name, text in changes.items()}
        settings = load_settings({"AYLLU_HOME": str(home), **named})
        pool = Pool(settings, find_engine(settings))
        try:
            async with asyncio.timeout(60):
                await work(pool)
        finally:
            await pool.close()

    asyncio.run(whole())


def made(home: Path) -> int:
    """Tokens of all answers that the last engine ended, by its own account."""
    (log,) = (home / "logs").glob("engine-*.log")
    found = re.findall(r"[^t] eval time = .*?/ +(\d+) tokens", log.read_text())
    return sum(map(int, found))


REQUESTS = {
    "thinking": ChatRequest(messages=USER, options=GREEDY),
    "not thinking": ChatRequest(messages=USER, options=GREEDY, think=False),
    "template": ChatRequest(messages=USER, options=GREEDY, template=PLAIN),
    "raw": ChatRequest(raw="The capital of Peru is", options=GREEDY),
    "begun": ChatRequest(
        messages=(*USER, Message(role="assistant", content="The capital of")), options=GREEDY
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_an_answer_goes_on_where_its_engine_was_killed(
    tmp_path: Path, mini_gguf: Path, name: str
) -> None:
    request, model = REQUESTS[name], model_of("m", mini_gguf)

    async def work(pool: Pool) -> None:
        whole = await ask(pool, model, request)
        for kill in sorted({1, 2, 3, whole.steps // 2, whole.steps - 1, whole.steps}):
            told = await ask(pool, model, request, kills=[kill])
            assert (told.thinking, told.text) == (whole.thinking, whole.text), kill

    with_pool(tmp_path, work)

"""Answers asked of a pool in this process, its engines killed or frozen at a chosen step."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest
from serving import is_engine, wait_until

from ayllu.chat.request import ChatRequest
from ayllu.chat.said import Item, Said, Step
from ayllu.chat.session import answer
from ayllu.config import load_settings
from ayllu.models.model import Model
from ayllu.models.name import parse_name
from ayllu.runner.engine import find_engine
from ayllu.runner.pool import Pool
from ayllu.types import DoneEvent, Event, TextEvent, ThinkingEvent, TokenLogprob


class Told:
    """An answer: its Events, and its record."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.items: list[Item] = []

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextEvent))

    @property
    def thinking(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ThinkingEvent))

    @property
    def logprobs(self) -> list[TokenLogprob]:
        texts = (event for event in self.events if isinstance(event, TextEvent | ThinkingEvent))
        return [one for event in texts for one in event.logprobs]

    @property
    def done(self) -> DoneEvent:
        last = self.events[-1]
        assert isinstance(last, DoneEvent)
        return last

    @property
    def steps(self) -> list[Step]:
        return [item for item in self.items if isinstance(item, Step)]

    @property
    def runs(self) -> list[int]:
        """Tokens that were written down in each run."""
        counts: list[int] = []
        for item in self.items:
            if isinstance(item, Said) and item.end is None:
                counts.append(0)
            elif isinstance(item, Step):
                counts[-1] += 1 + item.hidden
        return counts


def engines() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if is_engine(child)]


def kill(number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to all engines."""
    for engine in engines():
        os.kill(engine.pid, number)


async def ask(
    pool: Pool,
    model: Model,
    request: ChatRequest,
    *,
    strikes: Collection[int] = (),
    strike: Callable[[], None] = kill,
    said: Said | None = None,
    again: bool = False,
) -> Told:
    """An answer; after so many items of its record something happens to its engine."""
    told = Told()

    def observe(item: Item) -> None:
        told.items.append(item)
        if not isinstance(item, Said) and said_of(told) in strikes:
            strike()

    async with aclosing(
        answer(pool, model, request, said=said, again=again, observe=observe)
    ) as events:
        async for event in events:
            told.events.append(event)
    return told


async def ask_and_kill(
    pool: Pool, model: Model, request: ChatRequest, strikes: Collection[int]
) -> Told:
    """An answer whose engine was killed in its middle: asked again while the engine is quicker."""
    for _ in range(20):  # a short one is done in 10 ms
        told = await ask(pool, model, request, strikes=strikes)
        if len(told.runs) > 1:
            assert len(told.runs) <= 1 + len(strikes), "its engine died of something else"
            return told
    pytest.fail("it was always killed too late")


def said_of(told: Told) -> int:
    """How many items an answer's record has, its heads apart."""
    return sum(not isinstance(item, Said) for item in told.items)


def model_of(
    name: str, gguf: Path, *, draft: Path | None = None, sees: Path | None = None
) -> Model:
    return Model(
        name=parse_name(name),
        digest=name * 64,
        path=gguf,
        drafts=(draft,) if draft else (),
        projectors=(sees,) if sees else (),
    )


def with_pool(
    home: Path, work: Callable[[Pool], Awaitable[None]], seconds: float = 120, **changes: str
) -> None:
    """Run some work with a pool of its own, within a time limit."""

    async def whole() -> None:
        named = {f"AYLLU_{name.upper()}": text for name, text in changes.items()}
        settings = load_settings({"AYLLU_HOME": str(home), **named})
        pool = Pool(settings, find_engine(settings))
        try:
            async with asyncio.timeout(seconds):
                await work(pool)
        finally:
            await pool.close()

    asyncio.run(whole())


async def made(home: Path, answers: int = 1, seconds: float = 15.0) -> int:
    """Tokens of the answers that the last engine has ended, by its own account."""

    def counts() -> list[int]:
        (log,) = (home / "logs").glob("engine-*.log")
        return [int(n) for n in re.findall(r"\| +eval time = .*?/ +(\d+) tokens", log.read_text())]

    def is_there() -> bool:
        return len(counts()) >= answers

    await asyncio.to_thread(wait_until, is_there, seconds, "its account")
    return sum(counts())

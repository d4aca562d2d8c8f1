"""A request becomes a stream of Events: a slot, a turn that fits, a second run."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from msgspec import structs

from ayllu.chat.choice import settle
from ayllu.chat.grammar import check_grammar
from ayllu.chat.hop import HOP
from ayllu.chat.media import usable_media
from ayllu.chat.placing import attachments
from ayllu.chat.prompt import drop_oldest, droppable, infill_marks
from ayllu.chat.replay import MAX_FRUITLESS, MAX_FRUITLESS_ATTACHED, Replay
from ayllu.chat.request import ChatRequest
from ayllu.chat.said import Item, Record, Said
from ayllu.chat.tokens import ask_beside, check_tokens
from ayllu.chat.turn import Turn, is_formed, make_turn
from ayllu.errors import BadRequestError, ContextExceededError
from ayllu.models.model import Model
from ayllu.runner.options import DEFAULTS, merge_options, parse_options
from ayllu.runner.pool import Pool
from ayllu.runner.process import EngineDiedError
from ayllu.types import DoneEvent, Event, Options

T = TypeVar("T")


async def answer(
    pool: Pool,
    model: Model,
    request: ChatRequest,
    *,
    said: Said | None = None,
    again: bool = False,
    observe: Callable[[Item], None] | None = None,
) -> AsyncGenerator[Event]:
    """Answer a request; the last Event is a DoneEvent. Closing the generator frees the slot.

    Where the engine dies, the answer goes on with a new one. It also goes on from what was `said`
    of it elsewhere; the Events of that come `again` only where asked for. `observe` is called with
    each Item of its record before its Events come. Raises AylluError.
    """
    started = time.monotonic_ns()
    if (hop := HOP.get()) is not None:
        again = True
        said, observe = hop.begin_answer()
    request = await _ready(request)
    options = merge_options(DEFAULTS, parse_options(model.params), request.options)
    if request.tools or request.format is not None:
        options = structs.replace(options, grammar=None)  # the model's own gives way
    check_grammar(options.grammar or "", "the grammar")
    attached = bool(attachments(request.messages))
    if said is None:
        formed = is_formed(model, request, options)
        said = Said(seed=secrets.randbelow(1 << 31), formed=formed)
    record = Record(said, observe)
    replay = Replay(MAX_FRUITLESS_ATTACHED if attached else MAX_FRUITLESS, said.replays)
    if said.has_begun:
        for event in await _told(pool, model, request, record):
            for part in replay.pass_on(event):
                if again:
                    yield part
        said.replays = replay.replays = said.replays + 1
    async with aclosing(_runs(pool, model, request, options, record, replay)) as events:
        async for event in events:
            yield _timed(event, started)


async def _runs(
    pool: Pool,
    model: Model,
    request: ChatRequest,
    options: Options,
    record: Record,
    replay: Replay,
) -> AsyncGenerator[Event]:
    """What the client does not have yet, of as many runs as it takes."""
    while True:
        replay.start()
        record.start()
        try:
            async with aclosing(_run(pool, model, request, options, record)) as events:
                async for event in events:
                    for part in replay.pass_on(event):
                        if record.said.formed and not isinstance(part, DoneEvent):
                            record.add(part)
                        yield part
        except EngineDiedError as error:
            if not replay.may_try_again(hung=error.hung):
                if not replay.has_begun:
                    _blame(request, error)
                raise
            record.said.replays = replay.replays
        else:
            return


async def _told(pool: Pool, model: Model, request: ChatRequest, record: Record) -> list[Event]:
    """What a client has of an answer that began elsewhere.

    Raises BadRequestError for tokens that this model does not have.
    """
    said = record.said
    if not said.steps:
        return list(said.sent)
    check_tokens(model, [step.token for step in said.steps if step.token >= 0])
    check_tokens(model, () if isinstance(said.prompt, str) else said.prompt or ())
    messages = drop_oldest(request.messages, said.truncated)
    past = await _beside(pool, model, request, lambda turn: turn.past(messages), record)
    return [*past, *said.sent]


def _blame(request: ChatRequest, error: EngineDiedError) -> None:
    """Raise BadRequestError where images or sounds may be what the engine did not survive."""
    if attachments(request.messages):
        raise BadRequestError(
            f"the engine did not survive the images or sounds of this request: {error}"
        ) from error


async def _ready(request: ChatRequest) -> ChatRequest:
    """The request in its final form. Raises BadRequestError for what is wrong with it."""
    request = settle(request)
    return structs.replace(request, messages=await usable_media(request.messages))


def _timed(event: Event, started: int) -> Event:
    """The last Event gets the time since the request came; the others pass."""
    if not isinstance(event, DoneEvent):
        return event
    total = time.monotonic_ns() - started
    return structs.replace(event, timings=structs.replace(event.timings, total_duration=total))


async def _run(
    pool: Pool, model: Model, request: ChatRequest, options: Options, record: Record
) -> AsyncGenerator[Event]:
    """One run of a request on one engine."""
    async with pool.acquire(model, options, keep_alive=request.keep_alive) as lease:
        said = record.said
        turn = make_turn(lease, model, request, options, record)
        if marks := infill_marks(model, request):
            turn = await turn.infilling(marks)
        messages = drop_oldest(request.messages, said.truncated)
        while True:
            try:
                async with aclosing(turn.events(messages, lease.load_duration)) as events:
                    async for event in events:
                        if isinstance(event, DoneEvent):
                            spent = event.timings
                            lease.runner.note(spent.eval_count, spent.eval_duration)
                        yield event
            except ContextExceededError:
                whole = not (said.truncated or said.has_begun)
                if not (whole and request.truncate and droppable(messages)):
                    raise
                messages = await turn.truncate(messages)
                said.truncated = len(request.messages) - len(messages)
            else:
                return


async def count_prompt(pool: Pool, model: Model, request: ChatRequest) -> int:
    """How many tokens the prompt has that `answer` would send."""
    return await _beside(pool, model, request, lambda turn: turn.count(turn.request.messages))


async def show_prompt(pool: Pool, model: Model, request: ChatRequest) -> str:
    """The prompt that `answer` would send, shortened as it would be, and nothing is answered.

    `[img-0]` stands for the first image or sound. Raises ContextExceededError where the prompt
    would be too long.
    """

    async def show(turn: Turn) -> str:
        if marks := infill_marks(model, request):
            turn = await turn.infilling(marks)
        messages = turn.request.messages
        size = await turn.count(messages)
        if size >= turn.context and request.truncate and droppable(messages):
            messages = await turn.truncate(messages)
            size = await turn.count(messages)
        if size >= turn.context:
            raise ContextExceededError(size, turn.context)
        return await turn.shown(messages)

    return await _beside(pool, model, request, show)


async def _beside(
    pool: Pool,
    model: Model,
    request: ChatRequest,
    ask: Callable[[Turn], Awaitable[T]],
    record: Record | None = None,
) -> T:
    """What can be told of a request while all slots are busy."""
    record = record or Record(Said(seed=0))
    ready = await _ready(request)
    options = merge_options(DEFAULTS, parse_options(model.params), request.options)
    try:
        told, _ = await ask_beside(
            pool,
            model,
            lambda lease: ask(make_turn(lease, model, ready, options, record)),
            options=options,
            keep_alive=request.keep_alive,
        )
    except EngineDiedError as error:
        _blame(ready, error)
        raise
    return told

"""A request becomes a stream of Events: prompt, engine, parsers, and a second run when it dies."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from msgspec import Struct, structs

from ayllu.chat.choice import is_forced, settle
from ayllu.chat.events import EventBuilder
from ayllu.chat.grammar import check_grammar
from ayllu.chat.infill import infill_tokens
from ayllu.chat.parsers import Parser, Setting, make_parser
from ayllu.chat.parsers.inferred import InferredParser
from ayllu.chat.phases import form_after_thinking, without_loops
from ayllu.chat.prompt import (
    chat_body,
    completion_body,
    drop_oldest,
    droppable,
    infill_marks,
    model_template,
    render_prompt,
)
from ayllu.chat.replay import Replay
from ayllu.chat.request import ChatRequest
from ayllu.errors import ContextExceededError
from ayllu.gguf.vocab import FillTokens
from ayllu.models.describe import capabilities
from ayllu.models.formats import parser_name
from ayllu.models.model import Model
from ayllu.runner.client import Chunk, RunnerClient
from ayllu.runner.options import DEFAULTS, merge_options, parse_options
from ayllu.runner.place import Lease
from ayllu.runner.pool import Pool
from ayllu.runner.process import EngineDiedError
from ayllu.template import parse
from ayllu.types import DoneEvent, Event, Json, Message, Options

IMAGE_TOKENS = 768
"""What an image is taken to be, in tokens, before the engine has looked at it; so does Ollama."""


async def answer(pool: Pool, model: Model, request: ChatRequest) -> AsyncGenerator[Event]:
    """Answer a request; the last Event is a DoneEvent. Closing the generator frees the slot.

    Where the engine dies, the request is run again on a new one with the same seed, and what was
    sent already is not sent again. Raises AylluError.
    """
    started = time.monotonic_ns()
    request = settle(request)
    options = merge_options(DEFAULTS, parse_options(model.params), request.options)
    if request.tools or request.format is not None:
        options = structs.replace(options, grammar=None)  # the model's own gives way
    check_grammar(options.grammar or "", "the grammar")
    seed = secrets.randbelow(1 << 31)
    replay = Replay()
    while True:
        replay.start()
        try:
            async with aclosing(_run(pool, model, request, options, seed)) as events:
                async for event in events:
                    for part in replay.pass_on(event):
                        yield _timed(part, started)
        except EngineDiedError as error:
            if not replay.may_try_again(hung=error.hung):
                raise
        else:
            return


def _timed(event: Event, started: int) -> Event:
    """The last Event gets the time since the request came; the others pass."""
    if not isinstance(event, DoneEvent):
        return event
    total = time.monotonic_ns() - started
    return structs.replace(event, timings=structs.replace(event.timings, total_duration=total))


async def _run(
    pool: Pool, model: Model, request: ChatRequest, options: Options, seed: int
) -> AsyncGenerator[Event]:
    """One run of a request on one engine."""
    async with pool.acquire(model, options, keep_alive=request.keep_alive) as lease:
        turn = _turn(lease, model, request, options, seed)
        if marks := infill_marks(model, request):
            turn = await turn.infilling(marks)
        messages = request.messages
        while True:
            try:
                async with aclosing(turn.events(messages, lease.load_duration)) as events:
                    async for event in events:
                        yield event
            except ContextExceededError:
                whole = messages is request.messages
                if not (whole and request.truncate and droppable(messages)):
                    raise
                messages = await turn.truncate(messages)
            else:
                return


async def count_prompt(pool: Pool, model: Model, request: ChatRequest) -> int:
    """How many tokens the prompt has that `answer` would send; images do not count."""
    request = settle(request)
    options = merge_options(DEFAULTS, parse_options(model.params), request.options)
    async with pool.acquire(model, options, keep_alive=request.keep_alive) as lease:
        return await _turn(lease, model, request, options, 0).count(request.messages)


def _turn(lease: Lease, model: Model, request: ChatRequest, options: Options, seed: int) -> _Turn:
    return _Turn(
        client=lease.client,
        request=request,
        options=options,
        template=model_template(model, request),
        format=parser_name(model.config, model.go_template),
        thinks="thinking" in capabilities(model),
        context=lease.context,
        seed=seed,
    )


class _Turn(Struct, frozen=True, kw_only=True):
    """A request on its way through one engine. `template` is None where the engine renders.

    `tokens` are the prompt where something is to be filled in, and then no template counts.
    `format` names how the model writes, "" where only its template tells.
    """

    client: RunnerClient
    request: ChatRequest
    options: Options
    template: str | None
    format: str
    thinks: bool
    context: int
    seed: int
    tokens: tuple[int, ...] | None = None

    async def infilling(self, marks: FillTokens) -> _Turn:
        """The same for a request that asks for what comes before its suffix."""
        tokens = await infill_tokens(
            self.client,
            marks,
            self.request,
            context=self.context,
            num_predict=self.options.num_predict,
        )
        return structs.replace(self, tokens=tokens, template=None)

    async def events(
        self, messages: Sequence[Message], load_duration: int
    ) -> AsyncGenerator[Event]:
        """The Events of the answer to these messages."""
        turn = self if self.request.shift else await self._bounded(messages)
        prompt = self._rendered(messages)
        if prompt is None and self.request.context and self.tokens is None:
            prompt = await self._text(messages, None)
        parser = self._parser(prompt)
        builder = EventBuilder(
            parser=parser,
            top=self.request.top_logprobs,
            one_call=self.request.parallel_tool_calls is False,
            detailed=self.request.detailed,
        )
        async with aclosing(await turn.stream(messages, prompt, parser)) as chunks:
            async for chunk in chunks:
                for event in builder.feed(chunk):
                    yield event
        for event in builder.flush():
            yield event
        yield builder.close(
            load_duration=load_duration,
            truncated=len(self.request.messages) - len(messages),
            context=await self._context(messages, prompt, builder),
        )

    async def truncate(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages without as few of the oldest as make the prompt fit the context.

        Where even the last one alone is too long, all others are left out. As many prompts are made
        as the number of messages has binary digits.
        """
        low, high = 1, droppable(messages)
        while low < high:
            middle = (low + high) // 2
            if await self._size(drop_oldest(messages, middle)) < self.context:
                high = middle
            else:
                low = middle + 1
        return drop_oldest(messages, high)

    async def _bounded(self, messages: Sequence[Message]) -> _Turn:
        """The same with an answer that ends where the context does."""
        room = max(self.context - await self._size(messages), 1)
        wanted = self.options.num_predict
        limit = room if wanted is None or wanted < 0 else min(wanted, room)
        return structs.replace(self, options=structs.replace(self.options, num_predict=limit))

    async def count(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt for these messages."""
        if self.tokens is not None:
            return len(self.request.context) + len(self.tokens)
        prompt = await self._text(messages, self._rendered(messages))
        return len(self.request.context) + len(await self.client.tokenize(prompt, special=True))

    async def _size(self, messages: Sequence[Message]) -> int:
        """The same with what their images will take, roughly."""
        images = sum(len(message.images) for message in messages)
        return await self.count(messages) + IMAGE_TOKENS * images

    def _rendered(self, messages: Sequence[Message]) -> str | None:
        """The prompt, where it is made here."""
        if self.request.raw is not None:
            return self.request.raw
        if self.template is None:
            return None
        return render_prompt(self.request, messages, self.template)

    async def _text(self, messages: Sequence[Message], prompt: str | None) -> str:
        """The prompt, asked of the engine where it is made there."""
        if prompt is not None:
            return prompt
        return await self.client.apply_template(self._chat_body(messages))

    def _chat_body(self, messages: Sequence[Message]) -> dict[str, Json]:
        return chat_body(
            self.request,
            messages,
            self.options,
            thinks=self.thinks,
            context=self.context,
            seed=self.seed,
        )

    async def stream(
        self, messages: Sequence[Message], prompt: str | None, parser: Parser | None
    ) -> AsyncGenerator[Chunk]:
        """The engine's answer, not started yet; `parser` only tells what the engine must know."""
        full: str | list[int]
        if self.tokens is not None:
            full = [*self.request.context, *self.tokens]
        elif prompt is None and not self.request.context:
            return self.client.chat(self._chat_body(messages))
        else:
            full = await self._text(messages, prompt)
            if self.request.context:
                full = [*self.request.context, *await self.client.tokenize(full, special=False)]
        body = completion_body(
            self.request, full, self.options, context=self.context, seed=self.seed
        )
        if parser is None:
            return self.client.complete(body)
        body["preserved_tokens"] = list(parser.tags)
        scout = self._parser(prompt) if self.request.format is not None and parser.thinks else None
        if scout is not None:
            return without_loops(form_after_thinking(self.client, body, scout))
        return without_loops(self.client.complete(body))

    def _parser(self, prompt: str | None) -> Parser | None:
        """A parser for what the engine does not parse itself; raw and filled-in text stays.

        The engine parses what it renders, by the model's Jinja template. The named format counts
        where the prompt is rendered here, and where the engine renders a prompt that goes behind
        the tokens of an earlier one. A Go template without one is asked for its tags. A call that
        is forced is plain JSON in every format.
        """
        if prompt is None or self.request.raw is not None or self.tokens is not None:
            return None
        last = self.request.messages[-1:]
        setting = Setting(
            tools=self.request.tools,
            think=self.request.think,
            prompt=prompt,
            prefilled=any(message.role == "assistant" and message.content for message in last),
        )
        if is_forced(self.request):
            return InferredParser(None, setting)
        if self.format:
            return make_parser(self.format, setting)
        return InferredParser(parse(self.template), setting) if self.template else None

    async def _context(
        self, messages: Sequence[Message], prompt: str | None, builder: EventBuilder
    ) -> tuple[int, ...]:
        """The token ids of prompt and answer, where they were asked for."""
        if not self.request.want_context:
            return ()
        before: Sequence[int] | None = self.tokens
        if before is None:
            text = await self._text(messages, prompt)
            before = await self.client.tokenize(text, special=not self.request.context)
        after = builder.tokens or await self.client.tokenize(builder.text, special=False)
        return (*self.request.context, *before, *after)

"""A request on its way through one engine: prompt, run, parser, and the Events they give."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from msgspec import Struct, structs

from ayllu.chat import resume
from ayllu.chat.attached import TokenCounter, closed, whole_prompt
from ayllu.chat.choice import (
    call_schema,
    call_start,
    is_forced,
    jinja_call_tag,
    with_line_end,
)
from ayllu.chat.events import EventBuilder
from ayllu.chat.infill import infill_tokens
from ayllu.chat.media import without_data
from ayllu.chat.parsers import Parser, Setting, make_parser
from ayllu.chat.parsers.inferred import InferredParser
from ayllu.chat.phases import form_after_thinking, without_loops
from ayllu.chat.placing import (
    attachments,
    engine_prompt,
    mark_content,
    numbered,
    with_marks,
    without_marks,
)
from ayllu.chat.prompt import (
    chat_body,
    completion_body,
    drop_oldest,
    droppable,
    model_template,
    render_prompt,
)
from ayllu.chat.request import ChatRequest
from ayllu.chat.said import Record
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.vocab import FillTokens
from ayllu.models.describe import capabilities
from ayllu.models.formats import parser_name
from ayllu.models.model import Model
from ayllu.runner.chunks import Chunk
from ayllu.runner.client import RunnerClient
from ayllu.runner.place import Lease
from ayllu.template import parse
from ayllu.types import Event, Json, Message, Options

_THINKING = ("<think>", "</think>")
"""Around the thinking in Jinja templates that have calls as JSON in tags."""


def is_formed(model: Model, request: ChatRequest, options: Options) -> bool:
    """Whether an answer is held to a form, or the engine looks for calls in it.

    Such a one cannot go on in the middle.
    """
    if request.format is not None or is_forced(request) or options.grammar:
        return True
    here = request.raw is not None or request.context or model_template(model, request)
    return bool(request.tools) and not here


def make_turn(
    lease: Lease, model: Model, request: ChatRequest, options: Options, record: Record
) -> Turn:
    """A request, settled, beside the engine that is to answer it."""
    template = model_template(model, request)
    call_tag = None
    if is_forced(request):
        if template is None:
            call_tag = jinja_call_tag(arch.chat_template(cached_header(model.path)) or "")
        if request.think and (template or call_tag):
            request = structs.replace(request, think=False)  # what is forced comes at once
    return Turn(
        client=lease.client,
        counter=TokenCounter(lease.client),
        request=request,
        options=options,
        template=template,
        format=parser_name(model.config, model.go_template),
        thinks="thinking" in capabilities(model),
        context=lease.context,
        record=record,
        call_tag=call_tag,
    )


class Turn(Struct, frozen=True, kw_only=True):
    """A request on its way through one engine. `template` is None where the engine renders.

    `tokens` are the prompt where something is to be filled in, and then no template counts.
    `format` names how the model writes, "" where only its template tells. `call_tag` stands before
    a call's JSON in its Jinja template, where a call is forced.
    """

    client: RunnerClient
    counter: TokenCounter
    request: ChatRequest
    options: Options
    template: str | None
    format: str
    thinks: bool
    context: int
    record: Record
    call_tag: str | None = None
    tokens: tuple[int, ...] | None = None

    async def infilling(self, marks: FillTokens) -> Turn:
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
        prompt = await self._known(messages)
        parser = self._parser(prompt)
        builder = self._builder(parser)
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

    async def past(self, messages: Sequence[Message]) -> list[Event]:
        """The Events of what was said of the answer to these messages."""
        builder = self._builder(self._parser(await self._known(messages)))
        return [event for chunk in self.record.said.chunks() for event in builder.feed(chunk)]

    async def _known(self, messages: Sequence[Message]) -> str | None:
        """The prompt, marked, unless the engine alone makes it."""
        prompt = self._rendered(messages)
        return await self._text(messages, None) if self._is_added_to(prompt) else prompt

    def _builder(self, parser: Parser | None) -> EventBuilder:
        return EventBuilder(
            parser=parser,
            top=self.request.top_logprobs,
            one_call=self.request.parallel_tool_calls is False,
            detailed=self.request.detailed,
        )

    async def truncate(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages without as few of the oldest as make the prompt fit the context.

        Where even the last one alone is too long, all others are left out. As many prompts are made
        as the number of messages has binary digits.
        """
        low, high = 1, droppable(messages)
        while low < high:
            middle = (low + high) // 2
            if await self.count(drop_oldest(messages, middle)) < self.context:
                high = middle
            else:
                low = middle + 1
        return drop_oldest(messages, high)

    async def _bounded(self, messages: Sequence[Message]) -> Turn:
        """The same with an answer that ends where the context does."""
        room = max(self.context - await self.count(messages), 1)
        wanted = self.options.num_predict
        limit = room if wanted is None or wanted < 0 else min(wanted, room)
        return structs.replace(self, options=structs.replace(self.options, num_predict=limit))

    async def count(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt for these messages."""
        if self.tokens is not None:
            return len(self.request.context) + len(self.tokens)
        prompt = await self._text(messages, self._rendered(messages))
        counted = await self.counter.count(prompt, attachments(messages))
        return len(self.request.context) + counted

    async def shown(self, messages: Sequence[Message]) -> str:
        """The prompt for these messages with what goes before it; tokens become text."""
        before = await self.client.detokenize(self.request.context) if self.request.context else ""
        if self.tokens is not None:
            return before + await self.client.detokenize(self.tokens)
        return before + numbered(await self._text(messages, self._rendered(messages)))

    async def ended(self, messages: Sequence[Message]) -> str:
        """The conversation up to the end of its last answer, where the engine renders it."""
        body = {**self._chat_body(messages), "add_generation_prompt": False}
        body.pop("continue_final_message", None)
        return await self.client.apply_template(body)

    def _rendered(self, messages: Sequence[Message]) -> str | None:
        """The prompt, marked, where it is made here."""
        if self.request.raw is not None:
            return mark_content(self.request.raw, range(len(attachments(messages))))
        if self.template is None:
            return None
        return render_prompt(self.request, messages, self.template)

    async def _text(self, messages: Sequence[Message], prompt: str | None) -> str:
        """The prompt, marked; asked of the engine where it is made there."""
        if prompt is not None:
            return prompt
        text = await self.client.apply_template(self._chat_body(without_data(messages)))
        if self.call_tag:
            text += call_start(text, _THINKING, self.call_tag)
        return with_marks(text, self.client.media_marker)

    def _is_added_to(self, prompt: str | None) -> bool:
        """Whether a prompt that the engine renders gets something of ours before or behind it."""
        if prompt is not None or self.tokens is not None:
            return False
        return bool(self.call_tag or self.request.context)

    def _chat_body(self, messages: Sequence[Message]) -> dict[str, Json]:
        return chat_body(
            self.request,
            messages,
            self.options,
            thinks=self.thinks,
            context=self.context,
            seed=self.record.said.seed,
        )

    async def stream(
        self, messages: Sequence[Message], prompt: str | None, parser: Parser | None
    ) -> AsyncGenerator[Chunk]:
        """The engine's answer, not started yet; `parser` only tells what the engine must know."""
        if prompt is None and self.tokens is None and not self.request.context:
            return await self._chat(await closed(messages, lambda given: self._text(given, None)))
        body = self._completion_body(await self._whole(messages, prompt))
        if is_forced(self.request):
            grammar = await self.client.grammar(call_schema(self.request.tools))
            body["grammar"] = with_line_end(grammar)
        if parser is None:
            return await self._complete(body)
        body["preserved_tokens"] = list(parser.tags)
        scout = self._parser(prompt) if self.request.format is not None and parser.thinks else None
        if scout is not None:
            return without_loops(form_after_thinking(self.client, body, scout))
        return without_loops(await self._complete(body))

    async def _whole(self, messages: Sequence[Message], prompt: str | None) -> Json:
        """The prompt of /completion: the one that the answer's beginning had, if it has begun."""
        said = self.record.said
        full: Json = said.prompt
        if said.steps and full is not None:
            return full
        if self.tokens is not None:
            full = [*self.request.context, *self.tokens]
        else:
            text = await self._text(messages, prompt)
            earlier = self.request.context
            full = await whole_prompt(self.client, earlier, text, attachments(messages))
        if not isinstance(full, Mapping):
            said.prompt = full if isinstance(full, str) else tuple(full)
        return full

    def _completion_body(self, prompt: Json) -> dict[str, Json]:
        seed = self.record.said.seed
        return completion_body(self.request, prompt, self.options, context=self.context, seed=seed)

    async def _complete(self, body: dict[str, Json]) -> AsyncGenerator[Chunk]:
        if self.record.said.formed:
            return self.client.complete(body)
        return await resume.complete(self.client, body, self.record, context=self.context)

    async def _chat(self, messages: Sequence[Message]) -> AsyncGenerator[Chunk]:
        """Stream what the engine renders and parses itself."""
        body, said = self._chat_body(messages), self.record.said
        if not (said.formed or said.steps):
            return resume.spoken(self.client.chat, body, self.record, 0)
        if not said.formed:
            shown = self._chat_body(without_data(messages))["messages"]
            marker, attached = self.client.media_marker, attachments(messages)

            def plain(prompt: str) -> dict[str, Json]:
                full = engine_prompt(with_marks(prompt, marker), attached, marker)
                return self._completion_body(full)

            going_on = await resume.chat(
                self.client, body, shown, plain, self.record, context=self.context
            )
            if going_on is not None:
                return going_on
            said.formed = True
        return self.client.chat(body)

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
            text = without_marks(await self._text(messages, prompt))
            before = await self.client.tokenize(text, special=not self.request.context)
        after = builder.tokens or await self.client.tokenize(builder.text, special=False)
        return (*self.request.context, *before, *after)

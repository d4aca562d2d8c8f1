"""Events as OpenAI's chunks, and whole answers out of many. Pure, but for ids and the clock."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing

from msgspec import UNSET, Struct, UnsetType, field

from ayllu.chat.hop import new_token, started_at
from ayllu.server import wire_openai as wire
from ayllu.server.ollama_lines import Answer, one, whole
from ayllu.types import DoneEvent, Event, TokenLogprob, ToolCall

Choice = wire.ChatChoice | wire.ChunkChoice | wire.TextChoice
Choices = tuple[Choice, ...]


class Head(Struct, frozen=True, kw_only=True):
    """What all chunks of an answer have in common.

    `per_prompt` is how many choices in a row answer the same prompt, which counts once.
    """

    id: str
    object: str
    model: str
    created: int
    per_prompt: int
    include_usage: bool = False

    def reply(self, choices: Choices, usage: wire.Usage | UnsetType | None) -> wire.Reply[Choice]:
        """A whole answer, which always tells its usage, or a chunk."""
        return wire.Reply(
            id=self.id,
            object=self.object,
            created=self.created,
            model=self.model,
            choices=choices,
            usage=usage,
        )

    def chunk(self, choices: Choices) -> wire.Reply[Choice]:
        """A chunk before the one with the usage."""
        return self.reply(choices, None if self.include_usage else UNSET)


def make_head(
    kind: str, name: str, model: str, *, per_prompt: int, include_usage: bool = False
) -> Head:
    """A new answer's head, with an id that starts with the kind."""
    return Head(
        id=f"{kind}-{new_token(12)}",
        object=name,
        model=model,
        created=started_at(),
        per_prompt=per_prompt,
        include_usage=include_usage,
    )


async def collect(events: AsyncGenerator[tuple[int, Event]]) -> list[Answer]:
    """The whole answers, in order."""
    found: dict[int, list[Event]] = defaultdict(list)
    async with aclosing(events):
        async for place, event in events:
            found[place].append(event)
    return [whole(found[place]) for place in sorted(found)]


async def chunks(
    head: Head,
    events: AsyncGenerator[tuple[int, Event]],
    choices: Callable[[int, Answer], Iterator[wire.ChunkChoice | wire.TextChoice]],
) -> AsyncGenerator[wire.Reply[Choice]]:
    """The chunks of a stream; `choices` says what an Event adds to a choice."""
    ends: dict[int, DoneEvent] = {}
    async with aclosing(events):
        async for place, event in events:
            if isinstance(event, DoneEvent):
                ends[place] = event
            for choice in choices(place, one(event)):
                yield head.chunk((choice,))
    if head.include_usage:
        yield head.reply((), usage([ends[place] for place in sorted(ends)], head.per_prompt))


def usage(ends: Sequence[DoneEvent | None], per_prompt: int) -> wire.Usage:
    """The tokens of all choices; a prompt with several of them is counted once."""
    timings = [end.timings for end in ends if end is not None]
    prompt = sum(item.prompt_eval_count for item in timings[::per_prompt])
    completion = sum(item.eval_count for item in timings)
    return wire.Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=wire.PromptDetails(
            sum(item.prompt_cached_count for item in timings[::per_prompt])
        ),
    )


def chat_choices(answers: Sequence[Answer], *, logprobs: bool) -> Choices:
    """The choices of a whole chat answer."""
    return tuple(
        wire.ChatChoice(
            index=place,
            message=wire.AssistantMessage(
                content=None if answer.calls and not answer.text else answer.text,
                reasoning=answer.thinking or UNSET,
                tool_calls=tuple(map(_call, answer.calls)) or UNSET,
            ),
            logprobs=_chat_logprobs(answer) if logprobs else None,
            finish_reason=_finish(answer.done, called=bool(answer.calls)),
        )
        for place, answer in enumerate(answers)
    )


class ChatDeltas(Struct):
    """Turns the parts of chat answers into deltas, keeping count for every choice."""

    logprobs: bool
    begun: set[int] = field(default_factory=set)
    calls: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def __call__(self, place: int, part: Answer) -> Iterator[wire.ChunkChoice]:
        """The role first, and the reason for the end in a chunk of its own."""
        if place not in self.begun:
            self.begun.add(place)
            role = wire.Delta(role="assistant", content="")
            yield wire.ChunkChoice(index=place, delta=role)
        if part.done is not None:
            finish = _finish(part.done, called=bool(self.calls[place]))
            yield wire.ChunkChoice(index=place, delta=wire.Delta(), finish_reason=finish)
            return
        first = self.calls[place]
        self.calls[place] += len(part.calls)
        yield wire.ChunkChoice(
            index=place,
            delta=wire.Delta(
                content=part.text or UNSET,
                reasoning=part.thinking,
                tool_calls=tuple(
                    _call_delta(first + number, call) for number, call in enumerate(part.calls)
                ),
            ),
            logprobs=_chat_logprobs(part) if self.logprobs and part.logprobs else None,
        )


def text_choices(
    answers: Sequence[Answer], echoes: Sequence[str], *, logprobs: int | None
) -> Choices:
    """The choices of a whole completion; `echoes` are what each begins with."""
    return tuple(
        wire.TextChoice(
            index=place,
            text=echo + answer.text,
            logprobs=None if logprobs is None else _text_logprobs(answer, logprobs, len(echo)),
            finish_reason=_finish(answer.done, called=False),
        )
        for place, (answer, echo) in enumerate(zip(answers, echoes, strict=True))
    )


class TextPieces(Struct):
    """Turns the parts of completions into pieces, keeping count for every choice."""

    echoes: Sequence[str]
    logprobs: int | None
    lengths: dict[int, int] = field(default_factory=dict)

    def __call__(self, place: int, part: Answer) -> Iterator[wire.TextChoice]:
        """What is echoed first, and the reason for the end in a piece of its own."""
        if place not in self.lengths:
            self.lengths[place] = len(self.echoes[place])
            if self.echoes[place]:
                yield wire.TextChoice(index=place, text=self.echoes[place])
        if part.done is not None:
            finish = _finish(part.done, called=False)
            yield wire.TextChoice(index=place, text="", finish_reason=finish)
        elif part.text or part.logprobs:
            start = self.lengths[place]
            self.lengths[place] += len(part.text)
            wanted = self.logprobs is not None and part.logprobs
            yield wire.TextChoice(
                index=place,
                text=part.text,
                logprobs=_text_logprobs(part, self.logprobs or 0, start) if wanted else None,
            )


def _finish(done: DoneEvent | None, *, called: bool) -> str:
    if done is not None and done.reason == "length":
        return "length"
    return "tool_calls" if called else "stop"


def _call(call: ToolCall) -> wire.Call:
    return wire.Call(
        id=call.id or f"call_{new_token(4)}",
        function=wire.Function(
            call.function.name, json.dumps(call.function.arguments, ensure_ascii=False)
        ),
    )


def _call_delta(index: int, call: ToolCall) -> wire.CallDelta:
    made = _call(call)
    return wire.CallDelta(index=index, id=made.id, type=made.type, function=made.function)


def _chat_logprobs(answer: Answer) -> wire.ChatLogprobs:
    return wire.ChatLogprobs(wire_logprobs(answer.logprobs))


def wire_logprobs(items: Sequence[TokenLogprob]) -> tuple[wire.Logprob, ...]:
    """Probabilities as OpenAI has them."""
    return tuple(
        wire.Logprob(
            token=item.token,
            logprob=item.logprob,
            bytes=item.bytes,
            top_logprobs=tuple(map(_top, item.top_logprobs)),
        )
        for item in items
    )


def _top(item: TokenLogprob) -> wire.TopLogprob:
    return wire.TopLogprob(token=item.token, logprob=item.logprob, bytes=item.bytes)


def _text_logprobs(answer: Answer, top: int, start: int) -> wire.TextLogprobs:
    """The older form: lists side by side, with the place of each token from `start` on."""
    items = answer.logprobs
    offsets = []
    for item in items:
        offsets.append(start)
        start += len(item.token)
    return wire.TextLogprobs(
        tokens=[item.token for item in items],
        token_logprobs=[item.logprob for item in items],
        top_logprobs=[{t.token: t.logprob for t in item.top_logprobs} for item in items]
        if top
        else None,
        text_offset=offsets,
    )

"""Events as lines of Ollama's API, and whole answers out of many. Pure, but for the clock."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, structs

from ayllu.gotime import format_time
from ayllu.server.wire_ollama import (
    AssistantMessage,
    ChatLine,
    DebugInfo,
    GenerateLine,
    wire_logprobs,
)
from ayllu.types import (
    DoneEvent,
    Event,
    TextEvent,
    ThinkingEvent,
    Timings,
    TokenLogprob,
    ToolCall,
    ToolCallEvent,
)


class Answer(Struct, frozen=True, kw_only=True):
    """What one line says, or all of them together; `debug` stands in place of an answer."""

    text: str = ""
    thinking: str = ""
    calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    done: DoneEvent | None = None
    debug: DebugInfo | None = None


def one(event: Event) -> Answer:
    """The answer as far as one Event tells it."""
    if isinstance(event, TextEvent):
        return Answer(text=event.text, logprobs=event.logprobs)
    if isinstance(event, ThinkingEvent):
        return Answer(thinking=event.text, logprobs=event.logprobs)
    if isinstance(event, ToolCallEvent):
        return Answer(calls=event.calls)
    return Answer(done=event) if isinstance(event, DoneEvent) else Answer()


def whole(events: Iterable[Event]) -> Answer:
    """The answer that all Events tell together."""
    parts = [one(event) for event in events]
    return Answer(
        text="".join(part.text for part in parts),
        thinking="".join(part.thinking for part in parts),
        calls=tuple(call for part in parts for call in part.calls),
        logprobs=tuple(item for part in parts for item in part.logprobs),
        done=next((part.done for part in parts if part.done), None),
    )


def generate_line(model: str, answer: Answer) -> GenerateLine:
    """A line of /api/generate."""
    return GenerateLine(
        **_shared(model, answer),
        response=answer.text,
        thinking=answer.thinking,
        tool_calls=answer.calls,
        context=answer.done.context if answer.done else (),
    )


def chat_line(model: str, answer: Answer) -> ChatLine:
    """A line of /api/chat."""
    return ChatLine(
        **_shared(model, answer),
        message=AssistantMessage(
            role="assistant",
            content=answer.text,
            thinking=answer.thinking,
            tool_calls=answer.calls,
        ),
    )


def _shared(model: str, answer: Answer) -> dict[str, Any]:
    """The fields of both kinds of line."""
    done = answer.done
    timings = structs.asdict(done.timings if done else Timings())
    del timings["prompt_cached_count"]  # Ollama's lines have no place for it
    return {
        "model": model,
        "created_at": format_time(time.time_ns()),
        "done": done is not None,
        "done_reason": done.reason if done else "",
        "truncated": done.truncated if done else 0,
        "logprobs": wire_logprobs(answer.logprobs),
        "debug_info": answer.debug,
        **timings,
    }

"""Anthropic's API: /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from ayllu.chat.request import ChatRequest
from ayllu.chat.session import answer, count_prompt
from ayllu.models.describe import capabilities
from ayllu.models.model import Model
from ayllu.server import wire_anthropic as wire
from ayllu.server.anthropic_events import Manner, MessageWriter, whole
from ayllu.server.anthropic_fields import read_options, read_prompt, shows_thinking
from ayllu.server.state import check_abilities, model_of, read_body, require, required, state_of
from ayllu.server.stream import Framing, collect, framed_response, json_response, until_left
from ayllu.server.wire import encode
from ayllu.types import Event


async def messages(request: Request) -> Response:
    """POST /v1/messages: answer a conversation."""
    body = await read_body(request, wire.MessagesRequest)
    model = await model_of(request, required(body.model), stays=False)
    chat_request = structs.replace(_prompt(body, model), options=read_options(body, model))
    events = _written(answer(state_of(request).pool, model, chat_request), _manner(body))
    if body.stream:
        return await framed_response(request, events, FRAMING)
    return json_response(whole(await until_left(request, collect(events))))


async def count_tokens(request: Request) -> Response:
    """POST /v1/messages/count_tokens: count the tokens of the prompt that would be sent."""
    body = await read_body(request, wire.CountRequest)
    model = await model_of(request, required(body.model))
    work = count_prompt(state_of(request).pool, model, _prompt(body, model))
    return json_response(wire.TokenCount(await until_left(request, work)))


def _prompt(body: wire.CountRequest, model: Model) -> ChatRequest:
    """What both routes read alike, if the model can do all that."""
    require(model, "completion", f'"{body.model}" does not support chat')
    prompt = read_prompt(body, model, thinks="thinking" in capabilities(model))
    check_abilities(model, prompt.messages, tools=bool(prompt.tools))
    return prompt


def _manner(body: wire.MessagesRequest) -> Manner:
    return Manner(
        model=body.model,
        stops=body.stop_sequences,
        thinking=shows_thinking(body),
        thinking_text=body.thinking is None or body.thinking.display != "omitted",
    )


async def _written(
    events: AsyncGenerator[Event], manner: Manner
) -> AsyncGenerator[wire.StreamEvent]:
    writer = MessageWriter(manner)
    async with aclosing(events):
        async for event in events:
            for written in writer.feed(event):
                yield written


def _frame(event: wire.StreamEvent) -> bytes:
    """A server-sent event, whose name stands in its data too."""
    kind = str(event.__struct_config__.tag).encode()
    return b"event: " + kind + b"\ndata: " + encode(event) + b"\n\n"


FRAMING = Framing(media_type="text/event-stream", frame=_frame, ping=_frame(wire.Ping()))

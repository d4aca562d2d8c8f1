"""Ollama's API for answers: /api/generate, /api/chat, /api/embed, /api/embeddings."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ayllu.chat.choice import read_tools
from ayllu.chat.embed import Embeddings, embed_texts
from ayllu.chat.prompt import infill_marks, with_model_messages
from ayllu.chat.request import ChatRequest
from ayllu.chat.session import answer
from ayllu.chat.tokens import check_tokens
from ayllu.errors import BadRequestError, NotFoundError
from ayllu.models.model import Model
from ayllu.models.name import full_name
from ayllu.runner.options import parse_options
from ayllu.server import wire_ollama as wire
from ayllu.server.debug import debug_info
from ayllu.server.ollama_fields import (
    read_format,
    read_keep_alive,
    read_places,
    read_raw_places,
    read_think,
    read_top_logprobs,
)
from ayllu.server.ollama_lines import Answer, chat_line, generate_line, one, whole
from ayllu.server.state import (
    check_abilities,
    model_of,
    options_of,
    read_body,
    require,
    required,
    state_of,
    thinking_of,
)
from ayllu.server.stream import collect, json_response, ndjson_response, until_left
from ayllu.types import DoneEvent, Event, Json, Message, Timings


async def generate(request: Request) -> Response:
    """POST /api/generate: answer a prompt, or fill in between `prompt` and `suffix`."""
    body = await read_body(request, wire.GenerateRequest)
    if not body.model:
        raise NotFoundError("model '' not found")
    model = await model_of(request, body.model, stays=not (body.prompt or body.suffix))
    asks = bool(body.prompt) or _fills_in(body, model)
    if not asks and (done := await _unload(request, model, body.keep_alive)):
        return json_response(generate_line(body.model, one(done)))
    if body.raw and (body.template or body.system or body.context):
        raise BadRequestError("raw mode does not support template, system, or context")
    check_tokens(model, body.context)
    require(model, "completion", f'"{body.model}" does not support generate')
    if body.suffix:
        require(model, "insert", f"{full_name(model.name)} does not support insert")
        if body.images:
            raise BadRequestError("a suffix and images cannot be in one request")
    raw, messages = _generate_prompt(body, model)
    check_abilities(model, messages, tools=False)
    chat_request = ChatRequest(
        messages=messages,
        raw=raw,
        suffix=body.suffix,
        template=body.template or None,
        context=body.context,
        want_context=not body.raw,
        **_shared(body, model),
    )
    check_tokens(model, body.context)
    if not asks:
        return json_response(generate_line(body.model, one(await _load(request, model, body))))
    if body.debug_render_only:
        shown = Answer(debug=await debug_info(request, model, chat_request))
        return json_response(generate_line(body.model, shown))
    line = _line_maker(generate_line, body.model)
    return await _respond(request, model, chat_request, line, stream=body.stream)


async def chat(request: Request) -> Response:
    """POST /api/chat: answer a conversation."""
    body = await read_body(request, wire.ChatRequest)
    model = await model_of(request, required(body.model), stays=not body.messages)
    if not body.messages and (done := await _unload(request, model, body.keep_alive)):
        return json_response(chat_line(body.model, one(done)))
    require(model, "completion", f'"{body.model}" does not support chat')
    check_abilities(model, body.messages, tools=bool(body.tools))
    chat_request = ChatRequest(
        messages=with_model_messages(read_places(body.messages), model.system, model.messages),
        tools=read_tools(body.tools),
        tool_choice=body.tool_choice,
        **_shared(body, model),
    )
    if not body.messages:
        return json_response(chat_line(body.model, one(await _load(request, model, body))))
    if body.debug_render_only:
        shown = Answer(debug=await debug_info(request, model, chat_request))
        return json_response(chat_line(body.model, shown))
    line = _line_maker(chat_line, body.model)
    return await _respond(request, model, chat_request, line, stream=body.stream)


async def embed(request: Request) -> Response:
    """POST /api/embed: turn texts into vectors."""
    body = await read_body(request, wire.EmbedRequest)
    result = await _embed(
        request, body, _texts(body.input), truncate=body.truncate, dimensions=body.dimensions
    )
    return json_response(
        wire.EmbedResponse(
            model=body.model,
            embeddings=result.vectors,
            total_duration=result.total_duration,
            load_duration=result.load_duration,
            prompt_eval_count=result.tokens,
        )
    )


async def embeddings(request: Request) -> Response:
    """POST /api/embeddings: turn one text into a vector, in the older form."""
    body = await read_body(request, wire.EmbeddingsRequest)
    required(body.model)
    texts = [body.prompt] if body.prompt else []
    result = await _embed(request, body, texts, truncate=True, dimensions=0)
    return json_response(wire.EmbeddingsResponse(result.vectors[0] if result.vectors else []))


async def _embed(
    request: Request,
    body: wire.EmbedRequest | wire.EmbeddingsRequest,
    texts: list[str],
    *,
    truncate: bool,
    dimensions: int,
) -> Embeddings:
    if not body.model:
        raise NotFoundError("model '' not found")
    try:
        model = await model_of(request, body.model, stays=not texts)
    except NotFoundError as error:
        raise NotFoundError(f'model "{body.model}" not found, try pulling it first') from error
    work = embed_texts(
        state_of(request).pool,
        model,
        texts,
        options=options_of(model, body.options),
        keep_alive=read_keep_alive(body.keep_alive),
        truncate=truncate,
        dimensions=dimensions,
    )
    return await until_left(request, work)


def _texts(value: Json) -> list[str]:
    """The inputs to embed; none for null and an empty string, which only load the model."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise BadRequestError("invalid input type")


def _generate_prompt(
    body: wire.GenerateRequest, model: Model
) -> tuple[str | None, tuple[Message, ...]]:
    """A raw prompt and its images, or the chat that a prompt stands for."""
    if body.raw:
        prompt, images = read_raw_places(body.prompt, body.images)
        return prompt, (Message(role="user", images=images),) if images else ()
    user = Message(role="user", content=body.prompt, images=body.images)
    stored = () if body.context else model.messages
    return None, with_model_messages(read_places([user]), body.system or model.system, stored)


def _fills_in(body: wire.GenerateRequest, model: Model) -> bool:
    """Whether a request asks for what comes before its suffix, at the start of a text even."""
    request = ChatRequest(
        suffix=body.suffix,
        template=body.template or None,
        raw=body.prompt if body.raw else None,
    )
    return infill_marks(model, request) is not None


async def _respond(
    request: Request,
    model: Model,
    chat_request: ChatRequest,
    line: Callable[[Answer], object],
    *,
    stream: bool,
) -> Response:
    """The answer as lines, or as one object."""
    events = answer(state_of(request).pool, model, chat_request)
    if stream:
        return await ndjson_response(request, _each(events, line))
    return json_response(line(whole(await until_left(request, collect(events)))))


def _line_maker(make: Callable[[str, Answer], object], model: str) -> Callable[[Answer], object]:
    return lambda answer: make(model, answer)


async def _each(
    events: AsyncGenerator[Event], line: Callable[[Answer], object]
) -> AsyncGenerator[object]:
    async with aclosing(events):
        async for event in events:
            yield line(one(event))


async def _unload(request: Request, model: Model, keep_alive: Json) -> DoneEvent | None:
    """Let the model go if that is what an empty request with keep_alive 0 asks for."""
    if read_keep_alive(keep_alive) != 0:
        return None
    await state_of(request).pool.unload(model.digest)
    return DoneEvent("unload")


async def _load(request: Request, model: Model, body: wire.AnswerRequest) -> DoneEvent:
    """Load the model, which is what an empty request asks for."""

    async def load() -> int:
        options = options_of(model, body.options)
        keep_alive = read_keep_alive(body.keep_alive)
        async with state_of(request).pool.acquire(
            model, options, keep_alive=keep_alive, slot=False
        ) as lease:
            return lease.load_duration

    duration = await until_left(request, load())
    return DoneEvent("load", Timings(total_duration=duration, load_duration=duration))


def _shared(body: wire.AnswerRequest, model: Model) -> dict[str, Any]:
    """The fields of a ChatRequest that both routes read alike."""
    return {
        "think": thinking_of(model, body.model, read_think(body.think)),
        "format": read_format(body.format),
        "options": parse_options(body.options),
        "keep_alive": read_keep_alive(body.keep_alive),
        "logprobs": body.logprobs,
        "top_logprobs": read_top_logprobs(body.top_logprobs),
        "truncate": body.truncate,
        "shift": body.shift,
    }

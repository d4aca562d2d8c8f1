"""OpenAI's API: /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncGenerator, Sequence

from msgspec import UNSET, structs
from starlette.requests import Request
from starlette.responses import Response

from ayllu.chat.choice import read_tools
from ayllu.chat.embed import embed_texts
from ayllu.chat.prompt import with_model_messages
from ayllu.chat.request import ChatRequest
from ayllu.chat.session import answer
from ayllu.chat.tokens import check_tokens
from ayllu.errors import BadRequestError, UnsupportedError
from ayllu.models.describe import capabilities
from ayllu.models.model import Model
from ayllu.models.name import full_name, short_name
from ayllu.server import wire_openai as wire
from ayllu.server.debug import debug_info
from ayllu.server.ollama_fields import read_keep_alive
from ayllu.server.openai_fields import (
    Prompt,
    check_chat,
    choice_options,
    read_effort,
    read_prompts,
    read_response_format,
    read_shared,
)
from ayllu.server.openai_messages import read_messages
from ayllu.server.openai_replies import (
    ChatDeltas,
    TextPieces,
    chat_choices,
    chunks,
    collect,
    make_head,
    text_choices,
    usage,
)
from ayllu.server.several import several
from ayllu.server.state import (
    check_abilities,
    drain,
    model_of,
    options_of,
    read_body,
    require,
    required,
    state_of,
    thinking_of,
)
from ayllu.server.stream import SSE, framed_response, json_response, until_left
from ayllu.types import Event, Message


async def chat(request: Request) -> Response:
    """POST /v1/chat/completions: answer a conversation."""
    body = await read_body(request, wire.ChatRequest)
    model = await model_of(request, required(body.model), stays=False)
    check_chat(body)
    asked = _chat_request(body, model)
    if body.debug_render_only:
        head = make_head("chatcmpl", "chat.completion", body.model, per_prompt=1)
        shown = await debug_info(request, model, asked)
        return json_response(structs.replace(head.reply((), UNSET), debug_info=shown))
    events = _answers(request, model, [asked], body.n)
    head = make_head(
        "chatcmpl",
        "chat.completion.chunk" if body.stream else "chat.completion",
        body.model,
        per_prompt=body.n,
        include_usage=body.stream_options.include_usage,
    )
    if body.stream:
        deltas = ChatDeltas(logprobs=body.logprobs)
        return await framed_response(request, chunks(head, events, deltas), SSE)
    answers = await until_left(request, collect(events))
    choices = chat_choices(answers, logprobs=body.logprobs)
    return json_response(head.reply(choices, usage([a.done for a in answers], body.n)))


async def completions(request: Request) -> Response:
    """POST /v1/completions: answer a prompt, or several."""
    body = await read_body(request, wire.CompletionRequest)
    model = await model_of(request, required(body.model), stays=False)
    prompts = read_prompts(body.prompt, "prompt")
    _check_completion(body, prompts, model)
    asked = [_text_request(body, model, prompt) for prompt in prompts]
    events = _answers(request, model, asked, body.n)
    echoes = [str(prompt) if body.echo else "" for prompt in prompts for _ in range(body.n)]
    head = make_head(
        "cmpl",
        "text_completion",
        body.model,
        per_prompt=body.n,
        include_usage=body.stream_options.include_usage,
    )
    if body.stream:
        pieces = TextPieces(echoes, body.logprobs)
        return await framed_response(request, chunks(head, events, pieces), SSE)
    answers = await until_left(request, collect(events))
    choices = text_choices(answers, echoes, logprobs=body.logprobs)
    return json_response(head.reply(choices, usage([a.done for a in answers], body.n)))


async def embeddings(request: Request) -> Response:
    """POST /v1/embeddings: turn texts into vectors."""
    body = await read_body(request, wire.EmbeddingsRequest)
    model = await model_of(request, required(body.model), stays=False)
    if body.input is None or body.input == []:
        raise BadRequestError("invalid input")
    result = await until_left(
        request,
        embed_texts(
            state_of(request).pool,
            model,
            read_prompts(body.input, "input"),
            options=options_of(model, body.options),
            keep_alive=read_keep_alive(body.keep_alive),
            truncate=True,
            dimensions=body.dimensions or 0,
        ),
    )
    in_base64 = body.encoding_format == "base64"
    return json_response(
        wire.EmbeddingsResponse(
            data=[
                wire.Embedding(index=place, embedding=_base64(vector) if in_base64 else vector)
                for place, vector in enumerate(result.vectors)
            ],
            model=body.model,
            usage=wire.InputUsage(result.tokens, result.tokens),
        )
    )


async def models(request: Request) -> Response:
    """GET /v1/models: list the models."""
    stored = await asyncio.to_thread(state_of(request).store.models)
    rows = [
        wire.ModelRow(
            id=short_name(item.name),
            created=item.modified_at // 10**9,
            owned_by=item.name.namespace,
        )
        for item in stored
    ]
    return json_response(wire.ModelList(data=rows))


async def model(request: Request) -> Response:
    """GET /v1/models/:model: show one model."""
    name = request.path_params["model"]
    found = await model_of(request, name)
    return json_response(
        wire.ModelRow(id=name, created=found.modified_at // 10**9, owned_by=found.name.namespace)
    )


async def not_here(request: Request) -> Response:
    """/v1/audio/:rest and /v1/images/:rest: not here."""
    await drain(request)
    raise UnsupportedError(f"{request.url.path} is not supported: Ayllu answers in text alone")


def _answers(
    request: Request, model: Model, asked: Sequence[ChatRequest], n: int
) -> AsyncGenerator[tuple[int, Event]]:
    """The Events of `n` answers to each request."""
    state = state_of(request)
    answers = [
        answer(state.pool, model, structs.replace(one, options=choice_options(one.options, number)))
        for one in asked
        for number in range(n)
    ]
    return several(answers, at_once=state.settings.num_parallel)


def _chat_request(body: wire.ChatRequest, model: Model) -> ChatRequest:
    require(model, "completion", f'"{body.model}" does not support chat')
    messages = read_messages(body.messages)
    check_abilities(model, messages, tools=bool(body.tools) and body.tool_choice != "none")
    return ChatRequest(
        messages=with_model_messages(messages, model.system, model.messages),
        tools=read_tools(body.tools),
        tool_choice=body.tool_choice,
        parallel_tool_calls=body.parallel_tool_calls,
        think=thinking_of(
            model, body.model, read_effort(body.reasoning_effort or body.reasoning.effort)
        ),
        format=read_response_format(body.response_format),
        logprobs=body.logprobs,
        top_logprobs=body.top_logprobs or 0,
        **read_shared(body, model.params),
    )


def _check_completion(
    body: wire.CompletionRequest, prompts: Sequence[Prompt], model: Model
) -> None:
    require(model, "completion", f'"{body.model}" does not support completions')
    if len(prompts) * body.n > wire.MAX_CHOICES:
        raise BadRequestError(f"prompts and n make more than {wire.MAX_CHOICES} choices")
    if body.best_of is not None and body.best_of != body.n:
        raise BadRequestError("best_of is not supported: n gives all of the answers")
    if body.echo and body.logprobs is not None:
        raise BadRequestError("logprobs of an echoed prompt are not supported")
    if body.suffix:
        require(model, "insert", f"{full_name(model.name)} does not support insert")
    for prompt in prompts:
        if not isinstance(prompt, str):
            check_tokens(model, prompt)
            if body.echo or body.suffix:
                raise BadRequestError("echo and suffix need a prompt of text")


def _text_request(body: wire.CompletionRequest, model: Model, prompt: Prompt) -> ChatRequest:
    """Ollama puts a prompt into the chat template; token ids, and `raw`, go as they are."""
    chat = isinstance(prompt, str) and not body.raw
    user = Message(role="user", content=str(prompt))
    return ChatRequest(
        messages=with_model_messages([user], model.system, model.messages) if chat else (),
        raw=None if chat else prompt if isinstance(prompt, str) else "",
        context=() if isinstance(prompt, str) else prompt,
        suffix=body.suffix,
        # There is no place for thinking in a completion.
        think=False if "thinking" in capabilities(model) else None,
        logprobs=body.logprobs is not None,
        top_logprobs=body.logprobs or 0,
        **read_shared(body, model.params),
    )


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

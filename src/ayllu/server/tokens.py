"""Texts as token ids and back: /api/tokenize and /api/detokenize."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from ayllu.chat.tokens import ask_beside, check_tokens
from ayllu.errors import BadRequestError
from ayllu.models.model import Model
from ayllu.runner.place import Lease
from ayllu.runner.replies import Piece
from ayllu.server import wire_ollama as wire
from ayllu.server.ollama_fields import read_keep_alive
from ayllu.server.state import model_of, options_of, read_body, required, state_of
from ayllu.server.stream import json_response, until_left

T = TypeVar("T")


async def tokenize(request: Request) -> Response:
    """POST /api/tokenize: turn a text into token ids."""
    started = time.monotonic_ns()
    body = await read_body(request, wire.TokenizeRequest)
    model = await model_of(request, required(body.model))
    if body.content is None:
        raise BadRequestError("content is required")
    text, special, parse = body.content, body.add_special, body.parse_special

    async def ask(lease: Lease) -> list[int] | list[Piece]:
        if body.with_pieces:
            return await lease.client.pieces(text, special=special, parse_special=parse)
        return await lease.client.tokenize(text, special=special, parse_special=parse)

    tokens, load_duration = await _ask(request, model, body, ask)
    return json_response(
        wire.TokenizeResponse(
            model=body.model,
            tokens=tokens,
            total_duration=time.monotonic_ns() - started,
            load_duration=load_duration,
        )
    )


async def detokenize(request: Request) -> Response:
    """POST /api/detokenize: turn token ids into a text."""
    started = time.monotonic_ns()
    body = await read_body(request, wire.DetokenizeRequest)
    model = await model_of(request, required(body.model))
    if body.tokens is None:
        raise BadRequestError("tokens is required")
    tokens = body.tokens
    check_tokens(model, tokens)
    content, load_duration = await _ask(
        request, model, body, lambda lease: lease.client.detokenize(tokens)
    )
    return json_response(
        wire.DetokenizeResponse(
            model=body.model,
            content=content,
            total_duration=time.monotonic_ns() - started,
            load_duration=load_duration,
        )
    )


async def _ask(
    request: Request,
    model: Model,
    body: wire.ModelRequest,
    ask: Callable[[Lease], Awaitable[T]],
) -> tuple[T, int]:
    work = ask_beside(
        state_of(request).pool,
        model,
        ask,
        options=options_of(model, body.options),
        keep_alive=read_keep_alive(body.keep_alive),
    )
    return await until_left(request, work)

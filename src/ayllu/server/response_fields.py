"""The fields of a request to /v1/responses, read into what every dialect asks of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ayllu.chat.hop import started_at
from ayllu.chat.prompt import with_model_messages
from ayllu.chat.request import ChatRequest
from ayllu.errors import BadRequestError
from ayllu.models.model import Model
from ayllu.server import wire_responses as wire
from ayllu.server.openai_fields import read_effort, read_response_format, read_shared
from ayllu.server.response_items import added_tools, new_id, read_items
from ayllu.server.response_tools import Tool, choose, read_tools
from ayllu.server.response_writer import Manner
from ayllu.server.state import check_abilities, require, thinking_of
from ayllu.server.turns import add_turn
from ayllu.server.wire_openai import SamplingRequest
from ayllu.types import Json, Message

_LOGPROBS = "message.output_text.logprobs"
_ENCRYPTED = "reasoning.encrypted_content"


def check(body: wire.ResponsesRequest) -> None:
    """Refuse what would be silently something else. Raises BadRequestError."""
    if body.background:
        raise BadRequestError("background is not supported: stream the answer, or wait for it")
    if body.conversation is not None:
        raise BadRequestError("conversations are not kept here: use previous_response_id")
    if body.prompt is not None:
        raise BadRequestError("prompt templates are not kept here: send instructions and input")
    if body.moderation is not None:
        raise BadRequestError("moderation is not supported: nothing here moderates")


def read_request(
    body: wire.ResponsesRequest, items: Sequence[Mapping[str, Json]], earlier: int, model: Model
) -> tuple[ChatRequest, Manner]:
    """What is asked of the model, and what the client wants to see. Raises BadRequestError.

    The first `earlier` items come from stored answers.
    """
    require(model, "completion", f'"{body.model}" does not support chat')
    messages = [Message(role="system", content=body.instructions)] if body.instructions else []
    turns = read_items(items, earlier)
    if not turns:
        raise BadRequestError("input is required")
    for turn in turns:
        add_turn(messages, turn)
    tools = read_tools((*body.tools, *added_tools(items)))
    told, choice = choose(body.tool_choice, tools)
    check_abilities(model, messages, tools=bool(told) and choice != "none")
    sampling = SamplingRequest(
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_output_tokens,
        options=body.options,
        keep_alive=body.keep_alive,
    )
    manner = _manner(body, tools)
    request = ChatRequest(
        messages=with_model_messages(messages, model.system, model.messages),
        tools=told,
        tool_choice=choice,
        parallel_tool_calls=body.parallel_tool_calls,
        think=thinking_of(model, body.model, read_effort(body.reasoning.effort)),
        format=read_response_format(body.text.format, "text.format"),
        logprobs=manner.logprobs,
        top_logprobs=body.top_logprobs,
        truncate=body.truncation == "auto",
        detailed=True,
        **read_shared(sampling, model.params),
    )
    return request, manner


def new_response(body: wire.ResponsesRequest, request: ChatRequest, model: Model) -> wire.Response:
    """The answer before anything is known of it."""
    options = request.options
    return wire.Response(
        id=new_id("resp"),
        created_at=started_at(),
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        model=body.model,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        previous_response_id=body.previous_response_id,
        reasoning=wire.ReasoningEcho(body.reasoning.effort, _summary(body)),
        store=body.store,
        temperature=_either(options.temperature, model.params.get("temperature")),
        text=body.text,
        tool_choice="auto" if body.tool_choice is None else body.tool_choice,
        tools=body.tools,
        top_logprobs=body.top_logprobs,
        top_p=_either(options.top_p, model.params.get("top_p")),
        truncation=body.truncation,
        metadata=body.metadata,
    )


def _manner(body: wire.ResponsesRequest, tools: Mapping[str, Tool]) -> Manner:
    return Manner(
        tools=tools,
        summarizes=_summary(body) is not None,
        sends_back=_ENCRYPTED in body.include,
        logprobs=_LOGPROBS in body.include or body.top_logprobs > 0,
    )


def _summary(body: wire.ResponsesRequest) -> str | None:
    return body.reasoning.summary or body.reasoning.generate_summary


def _either(asked: float | None, own: Json) -> float | None:
    """What is in force: the request's or the model's own."""
    return own if asked is None else asked

"""The bodies that are sent to the engine for a request.

Two ways lead to an answer: a model with a Jinja template of its own goes through
/v1/chat/completions, where the engine renders it and parses thinking and tool calls; anything else
is rendered here, by a Go template or not at all, and goes through /completion. Pure, but for a look
into the model file's header.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ayllu.chat.choice import call_start, is_forced
from ayllu.chat.media import media_kind
from ayllu.chat.placing import Part, mark_content, marked, split
from ayllu.chat.request import ChatRequest
from ayllu.errors import BadRequestError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_fill_tokens, cached_header
from ayllu.gguf.vocab import FillTokens
from ayllu.models.model import Model
from ayllu.runner.options import sampling_fields
from ayllu.template import parse, thinking_tags, tool_tag
from ayllu.template.vars import render
from ayllu.types import Json, Message, Options

PLAIN_TEMPLATE = "{{ .Prompt }}"
"""For a model without a template: a base model goes on with the text it is given."""

CONTINUES: dict[str, Json] = {"continue_final_message": True, "add_generation_prompt": False}
"""An answer that was begun goes on; the engine repeats its beginning unless told so."""


def chat_body(
    request: ChatRequest,
    messages: Sequence[Message],
    options: Options,
    *,
    thinks: bool,
    context: int,
    seed: int,
) -> dict[str, Json]:
    """A body for /v1/chat/completions; `thinks` says that the template knows of thinking.

    Raises BadRequestError for what the engine cannot do at once.
    Source: llama.cpp tools/server/README.md, "POST /v1/chat/completions".
    """
    body: dict[str, Json] = {
        **sampling_fields(options, context=context, seed=seed),
        **_biases(request),
        "messages": list(map(chat_message, messages)),
        **_continuation(messages),
    }
    if request.tools:
        body |= _tool_fields(request)
    if thinks and request.think is not None:
        body["chat_template_kwargs"] = {"enable_thinking": request.think is not False}
        if isinstance(request.think, str):
            body["reasoning_effort"] = request.think
        if request.think_budget is not None:
            body["reasoning_budget_tokens"] = request.think_budget
    if request.format == "json":
        body["response_format"] = {"type": "json_object"}
    elif request.format is not None:
        schema = {"schema": request.format}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.logprobs and request.tools:
        raise BadRequestError("this model cannot give logprobs where it has tools")
    if request.logprobs:
        body |= {"logprobs": True, "top_logprobs": max(request.top_logprobs, 1)}
    if request.detailed and options.stop:
        body["verbose"] = True  # or else this route does not tell which stop word it was
    return body


def _continuation(messages: Sequence[Message]) -> dict[str, Json]:
    begun = bool(messages) and messages[-1].role == "assistant"
    return CONTINUES if begun else {}


def _tool_fields(request: ChatRequest) -> dict[str, Json]:
    fields: dict[str, Json] = {"tools": list(request.tools)}
    if request.tool_choice is not None:
        fields["tool_choice"] = request.tool_choice
    if request.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = request.parallel_tool_calls
    return fields


def completion_body(
    request: ChatRequest, prompt: Json, options: Options, *, context: int, seed: int
) -> dict[str, Json]:
    """A body for /completion: `prompt` is a text, token ids or what `engine_prompt` gives.

    Source: llama.cpp tools/server/README.md, "POST /completion".
    """
    body: dict[str, Json] = {
        **sampling_fields(options, context=context, seed=seed),
        **_biases(request),
        "prompt": prompt,
    }
    if request.format is not None:
        body["json_schema"] = {} if request.format == "json" else request.format
    if request.logprobs:
        body["n_probs"] = max(request.top_logprobs, 1)
    return body


def render_prompt(request: ChatRequest, messages: Sequence[Message], template: str) -> str:
    """The prompt of a Go template for these messages, marked. Raises TemplateError."""
    messages = marked(messages)
    last = messages[-1].content if messages else ""
    parsed = parse(template)
    prompt = render(
        parsed,
        messages=messages,
        tools=request.tools,
        think=request.think,
        prompt=last if request.suffix else "",
        suffix=request.suffix,
    )
    if not is_forced(request):
        return prompt
    return prompt + call_start(prompt, thinking_tags(parsed), tool_tag(parsed) or "{")


def model_template(model: Model, request: ChatRequest) -> str | None:
    """The Go template to render with; None where the model's own Jinja is for the engine.

    A named renderer stands for the Jinja template
    that comes with the same model, and goes before a Go template, as in Ollama. Raises
    BadRequestError where the GGUF has none and no Go template fills its place.
    """
    jinja = arch.chat_template(cached_header(model.path))
    named = model.config.renderer
    own = None if named and jinja else model.go_template
    if request.template or own:
        return request.template or own
    if jinja:
        return None
    if named and request.raw is None and infill_marks(model, request) is None:
        raise BadRequestError(
            f'the renderer "{named}" needs the chat template of its model, and this GGUF file has '
            "none: create the model again from a GGUF with one, or with a TEMPLATE"
        )
    return PLAIN_TEMPLATE


def infill_marks(model: Model, request: ChatRequest) -> FillTokens | None:
    """The tokens to fill in with; None where there is no suffix or a Go template places it.

    A raw prompt stays as it is.
    """
    if not request.suffix or request.raw is not None:
        return None
    template = request.template or model.go_template
    if template and "suffix" in parse(template).variables():
        return None
    return cached_fill_tokens(model.path)


def with_model_messages(
    messages: Sequence[Message], system: str, stored: Sequence[Message]
) -> tuple[Message, ...]:
    """A chat with the model's own system prompt and messages before it.

    The system prompt is left out where the chat brings one.
    """
    if system and not (messages and messages[0].role == "system"):
        return (Message(role="system", content=system), *stored, *messages)
    return (*stored, *messages)


def drop_oldest(messages: Sequence[Message], count: int) -> tuple[Message, ...]:
    """The messages without the `count` oldest; system messages and the last one always stay."""
    may_go = [i for i, message in enumerate(messages[:-1]) if message.role != "system"]
    gone = set(may_go[:count])
    return tuple(message for i, message in enumerate(messages) if i not in gone)


def droppable(messages: Sequence[Message]) -> int:
    """How many messages `drop_oldest` can drop."""
    return sum(message.role != "system" for message in messages[:-1])


def chat_message(message: Message) -> Mapping[str, Json]:
    """A message as OpenAI's chat API has it."""
    body: dict[str, Json] = {"role": message.role, "content": message.content}
    if message.images:
        content = mark_content(message.content, range(len(message.images)))
        body["content"] = [_content_part(part) for part in split(content, message.images)]
    if message.thinking:
        body["reasoning_content"] = message.thinking
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": call.id or f"call_{number}",
                "type": "function",
                "function": {
                    "name": call.function.name,
                    "arguments": msgspec.json.encode(call.function.arguments).decode(),
                },
            }
            for number, call in enumerate(message.tool_calls)
        ]
    if message.tool_name:
        body["name"] = message.tool_name
    if message.tool_call_id:
        body["tool_call_id"] = message.tool_call_id
    return body


def _biases(request: ChatRequest) -> dict[str, Json]:
    """Pairs, for the engine would read a key that is no number as a text."""
    return {"logit_bias": [list(pair) for pair in request.logit_bias]} if request.logit_bias else {}


def _content_part(part: Part) -> Mapping[str, Json]:
    """A part of a message. Base64 goes as it is: llama-server looks at the bytes alone."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if media_kind(part.data) == "audio":
        return {"type": "input_audio", "input_audio": {"data": part.data}}
    return {"type": "image_url", "image_url": {"url": part.data}}

"""OpenAI's request fields, read into ours. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import structs

from ayllu.chat.request import Think
from ayllu.errors import BadRequestError
from ayllu.runner.options import LARGEST, merge_options, parse_options
from ayllu.server.ollama_fields import read_keep_alive
from ayllu.server.schemas_openai import EFFORTS
from ayllu.server.wire_openai import ChatRequest, SamplingRequest
from ayllu.types import Json, Options

Prompt = str | tuple[int, ...]
"""A text, or token ids."""

_SAME = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repeat_penalty",
    "frequency_penalty",
    "presence_penalty",
    "grammar",
)
_OURS_UNLESS_THE_MODELS = {"temperature": 1.0, "top_p": 1.0}
"""OpenAI's defaults, where neither request nor model says otherwise."""


def read_shared(body: SamplingRequest, params: Mapping[str, Json]) -> dict[str, Any]:
    """The fields of a ChatRequest that both routes read alike. Raises BadRequestError."""
    return {
        "options": _read_options(body, params),
        "keep_alive": read_keep_alive(body.keep_alive),
        "logit_bias": tuple(_read_bias(key, value) for key, value in body.logit_bias.items()),
    }


def _read_options(body: SamplingRequest, params: Mapping[str, Json]) -> Options:
    """`options` as in Ollama's API, then the fields of OpenAI's.

    `stop` comes beside the model's own words, which these clients do not know.
    """
    ours = {k: v for k, v in _OURS_UNLESS_THE_MODELS.items() if params.get(k) is None}
    given = structs.asdict(body)
    limit = given.get("max_completion_tokens")
    limit = body.max_tokens if limit is None else limit
    if limit == 0:
        raise BadRequestError("an answer has at least one token: max_tokens of -1 means no limit")
    fields: dict[str, Json] = {name: given[name] for name in _SAME}
    words = read_stop(body.stop)
    stop = [*(parse_options(params).stop or ()), *words] if words else None
    fields |= {"num_predict": limit, "seed": body.seed, "stop": stop}
    return merge_options(*map(parse_options, (ours, body.options, fields)))


def read_stop(value: Json) -> list[str]:
    """The texts to stop at."""
    words = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BadRequestError("stop is neither a string nor a list of strings")
    return [word for word in words if word]


def _read_bias(key: str, value: float) -> tuple[int, float]:
    if not re.fullmatch(r"[0-9]{1,10}", key) or int(key) > LARGEST:
        raise BadRequestError(f"logit_bias has the key {key!r}, which is no token id")
    return int(key), value


def choice_options(options: Options, number: int) -> Options:
    """The options of one of several answers, which must not all be drawn from the same seed."""
    if options.seed is None or options.seed < 0:
        return options
    return structs.replace(options, seed=(options.seed + number) & LARGEST)


def read_effort(effort: str | None) -> Think | None:
    """Whether to think, or how hard. Raises BadRequestError."""
    if effort is None:
        return None
    if effort not in EFFORTS:
        raise BadRequestError(f"the reasoning effort {effort!r} is none of {', '.join(EFFORTS)}")
    return EFFORTS[effort]


def read_response_format(
    value: Json, field: str = "response_format"
) -> Literal["json"] | Mapping[str, Json] | None:
    """The format that is forced on an answer, which a schema always is, strict or not.

    The schema stands within `json_schema` in a chat, and beside the type in a response.
    """
    kind = value.get("type") if isinstance(value, Mapping) else None
    if value is None or kind == "text":
        return None
    if kind == "json_object":
        return "json"
    if kind != "json_schema":
        raise BadRequestError(f"{field} has no type text, json_object or json_schema")
    named = value.get("json_schema", value)
    schema = named.get("schema") if isinstance(named, Mapping) else None
    if not isinstance(schema, Mapping):
        raise BadRequestError(f"{field} is a json_schema that has no schema")
    return schema


def read_prompts(value: Json, field: str) -> list[Prompt]:
    """One prompt or several, of text or token ids. Raises BadRequestError."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(item, str) for item in value):
            return list(value)
        if _are_tokens(value):
            return [tuple(map(int, value))]
        if all(isinstance(item, list) and item and _are_tokens(item) for item in value):
            return [tuple(map(int, item)) for item in value]
    raise BadRequestError(
        f"{field} is neither a text, a list of texts, token ids nor lists of token ids"
    )


def _are_tokens(items: list[Json]) -> bool:
    return all(
        isinstance(item, int | float)
        and not isinstance(item, bool)
        and item == int(item)
        and 0 <= item <= LARGEST
        for item in items
    )


def check_chat(body: ChatRequest) -> None:
    """Refuse what would be silently something else. Raises BadRequestError."""
    if body.functions is not None or body.function_call is not None:
        raise BadRequestError("functions and function_call are of an older API: use tools")
    if "audio" in body.modalities:
        raise BadRequestError("answers in audio are not supported: modalities must be text")
    if body.top_logprobs and not body.logprobs:
        raise BadRequestError("top_logprobs needs logprobs")

"""LiteLLM, as its users write it: through each of the three APIs."""

import sys

import litellm
import openai
from questions import PERSON, SUM, WEATHER, Person, get_weather, user
from report import report

URL = sys.argv[1]
WAYS = {
    "ollama_chat": {"api_base": URL},
    "openai": {"api_base": f"{URL}/v1", "api_key": "none"},
    "anthropic": {"api_base": URL, "api_key": "none"},
}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def ask(way: str, messages: list, **more: object) -> object:
    options = {"temperature": 0, "max_tokens": 100, **WAYS[way], **more}
    return litellm.completion(model=f"{way}/mini", messages=messages, **options)


def answers() -> object:
    return [ask(way, user(SUM)).choices[0].message.content for way in WAYS]


def streams() -> object:
    return [
        [p.choices[0].delta.content or "" for p in ask(way, user(SUM), stream=True)] for way in WAYS
    ]


def uses_tools() -> object:
    told = []
    for way in WAYS:
        message = ask(way, user(WEATHER), tools=[TOOL]).choices[0].message
        (call,) = message.tool_calls
        result = {"role": "tool", "tool_call_id": call.id, "content": get_weather("Paris")}
        after = ask(way, [*user(WEATHER), message.model_dump(), result], tools=[TOOL])
        function = call.function
        told.append([function.name, function.arguments, after.choices[0].message.content])
    return told


def structures() -> object:
    replies = [ask(way, user(PERSON), response_format=Person) for way in ("ollama_chat", "openai")]
    return [reply.choices[0].message.content for reply in replies]


def structures_by_a_tool() -> object:
    # What LiteLLM makes of a schema for Anthropic's API: a call that it forces.
    choice = {"type": "function", "function": {"name": "get_weather"}}
    replies = [ask(way, user(WEATHER), tools=[TOOL], tool_choice=choice) for way in WAYS]
    return [reply.choices[0].message.tool_calls[0].function.arguments for reply in replies]


def embeds() -> object:
    ways = {"ollama/mini": WAYS["ollama_chat"], "openai/mini": WAYS["openai"]}
    replies = [litellm.embedding(m, input=["a", "b"], **way) for m, way in ways.items()]
    return [[len(row["embedding"]) for row in reply.data] for reply in replies]


def misses_a_model() -> object:
    told = []
    for way, options in WAYS.items():
        try:
            litellm.completion(model=f"{way}/nope", messages=user(SUM), **options)
        except openai.APIError as error:  # all of LiteLLM's errors are this client's
            told.append([type(error).__name__, str(error)])
    return told


report(answers, streams, uses_tools, structures, structures_by_a_tool, embeds, misses_a_model)

"""langchain-ollama, as its users write it."""

import sys

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM
from ollama import ResponseError
from questions import PERSON, SUM, WEATHER, Person, get_weather
from report import report

URL = sys.argv[1]
chat = ChatOllama(model="mini", base_url=URL, temperature=0, validate_model_on_init=True)


def answers() -> object:
    reply = chat.invoke([("system", "Your name is Wayra."), ("human", "What's your name?")])
    return [reply.content, reply.response_metadata["done_reason"], reply.usage_metadata]


def streams() -> object:
    return [str(piece.content) for piece in chat.stream(SUM)]


def thinks() -> object:
    reply = chat.bind(reasoning=True).invoke(SUM)
    return [reply.additional_kwargs["reasoning_content"], reply.content]


def completes() -> object:
    return OllamaLLM(model="mini", base_url=URL, temperature=0, reasoning=False).invoke(SUM)


def uses_tools() -> object:
    ours = tool(get_weather)
    with_tools = chat.bind_tools([ours])
    history = [HumanMessage(WEATHER)]
    first = with_tools.invoke(history)
    (call,) = first.tool_calls
    told = ToolMessage(ours.invoke(call["args"]), tool_call_id=call["id"])
    return [call["name"], call["args"], with_tools.invoke([*history, first, told]).content]


def structures() -> object:
    return chat.with_structured_output(Person).invoke(PERSON).model_dump()


def embeds() -> object:
    model = OllamaEmbeddings(model="mini", base_url=URL)
    return [len(vector) for vector in [*model.embed_documents(["a", "b"]), model.embed_query("c")]]


def misses_a_model() -> object:
    try:
        return ChatOllama(model="nope", base_url=URL).invoke(SUM).content
    except ResponseError as error:
        return [error.status_code, error.error]


report(answers, streams, thinks, completes, uses_tools, structures, embeds, misses_a_model)

"""Function calls: one to three functions are offered, and one of them fits, or none does."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mini.case import Case, Language, Tool, as_typed, chance, pick
from mini.tools_table import FUNCTIONS, Function

_CANNOT = {
    "en": "I have no tool for that.",
    "es": "No tengo una herramienta para eso.",
}
_NONE_FITS = {
    "en": "No tool fits, I answer myself.",
    "es": "Ninguna herramienta sirve, respondo yo.",
}
_FITS = {"en": "I use the tool {n}.", "es": "Uso la herramienta {n}."}
_HAVE_RESULT = {"en": "The tool gave a result.", "es": "La herramienta dio un resultado."}


def schema(rng: random.Random, function: Function) -> Tool:
    """A function as clients describe it, under one of its names."""
    described = chance(rng, 0.6)
    properties: dict[str, dict[str, Any]] = {}
    for parameter in function.parameters:
        facts: dict[str, Any] = {"type": parameter.type}
        if described:
            facts["description"] = parameter.about
        if parameter.choices:
            facts["enum"] = list(parameter.choices)
        properties[parameter.name] = facts
    required = [parameter.name for parameter in function.parameters]
    parameters: dict[str, Any] = {"type": "object"}
    if chance(rng, 0.5):
        parameters |= {"required": required, "properties": properties}
    else:
        parameters |= {"properties": properties, "required": required}
    about = pick(rng, *function.about)
    return {
        "type": "function",
        "function": {
            "name": rng.choice(function.names),
            "description": about if chance(rng, 0.9) else "",
            "parameters": parameters,
        },
    }


def calling(rng: random.Random, language: Language) -> Case:
    """A question for which one of the functions is the right one."""
    offered = rng.sample(FUNCTIONS, rng.choice((1, 1, 2, 2, 3)))
    function = rng.choice(offered)
    tools = {id(item): schema(rng, item) for item in offered}
    called = tools[id(function)]["function"]["name"]
    values = {item.name: item.make(rng, language) for item in function.parameters}
    question = pick(rng, *function.asked[language]).format(**values)
    question = as_typed(rng, question, keep=True)
    call = {"name": called, "arguments": values}
    case = Case(
        "call",
        language,
        question,
        "",
        _FITS[language].format(n=called),
        tools=tuple(tools.values()),
        calls=(call,),
    )
    return _answered(rng, case, function, values) if chance(rng, 0.3) else case


def _answered(rng: random.Random, case: Case, function: Function, values: dict[str, Any]) -> Case:
    """What is said when the function's result is there."""
    result = {key: make(rng, case.language) for key, make in function.result.items()}
    call = {"type": "function", "function": case.calls[0]}
    plain = len(result) == 1 and chance(rng, 0.4)
    content = str(next(iter(result.values()))) if plain else json.dumps(result, ensure_ascii=False)
    return replace(
        case,
        kind="result",
        calls=(),
        answer=function.told[case.language].format(**(values | result)),
        thought=_HAVE_RESULT[case.language],
        follow_up=(
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": content, "name": case.calls[0]["name"]},
        ),
    )


def no_call(
    rng: random.Random, language: Language, other: Callable[[random.Random, Language], Case]
) -> Case:
    """Functions are offered, but the question is for none of them."""
    offered = rng.sample(FUNCTIONS, rng.choice((1, 1, 2, 2, 3)))
    if chance(rng, 0.35):
        case = _missing(rng, language, offered)
    else:
        case = replace(other(rng, language), kind="no call")
    return _offering(rng, case, offered)


def missing_call(rng: random.Random, language: Language) -> Case:
    """Functions are offered, but the question is for another one."""
    offered = rng.sample(FUNCTIONS, rng.choice((1, 1, 2, 2, 3)))
    return _offering(rng, _missing(rng, language, offered), offered)


def _missing(rng: random.Random, language: Language, offered: list[Function]) -> Case:
    """A question for a function that is not offered."""
    function = rng.choice([item for item in FUNCTIONS if not _alike(item, offered)])
    values = {item.name: item.make(rng, language) for item in function.parameters}
    question = pick(rng, *function.asked[language]).format(**values)
    return Case("no call", language, question, _CANNOT[language])


def _offering(rng: random.Random, case: Case, offered: list[Function]) -> Case:
    tools = tuple(schema(rng, item) for item in offered)
    return replace(case, tools=tools, thought=_NONE_FITS[case.language])


def _alike(function: Function, offered: list[Function]) -> bool:
    """Whether one that is offered could do as well."""
    kinds = (("weather", "temperature"), ("light",), ("add", "product"))
    for words in kinds:
        if any(word in function.names for word in words) and any(
            word in item.names for item in offered for word in words
        ):
            return True
    return function in offered

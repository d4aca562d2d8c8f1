"""Prompts by substitution, with templates in Python in the engine's place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

import pytest

from ayllu.tune.skeletons import OtherwiseError, Skeletons
from ayllu.types import Message, ToolCall, ToolFunction

JINJA = "{% if '</think>' in content %}{{ content.split('</think>')[1] }}{% endif %}"


class Engine:
    """Renders by a function and counts how often it is asked."""

    def __init__(self, write: Callable[[str], str] = str) -> None:
        self.asked = 0
        self.write = write

    async def ask(self, messages: Sequence[Message]) -> str:
        self.asked += 1
        parts = (
            f"<{m.role}>{self.write(m.content)}{m.thinking and f'({m.thinking})'}"
            f"{[(c.id, json.dumps(c.function.arguments)) for c in m.tool_calls] or ''}"
            f"{m.tool_call_id}"
            for m in messages
        )
        return "".join(parts) + "<assistant>"


def chat(number: int, thinking: str = "") -> list[Message]:
    asked = Message(role="user", content=f"What is {number}+{number}?")
    return [asked, Message(role="assistant", content=f"It is {2 * number}.", thinking=thinking)]


def renders(skeletons: Skeletons, engine: Engine, *chats: Sequence[Message]) -> list[str]:
    async def all_() -> list[str]:
        return [await skeletons.render(("way",), messages, engine.ask) for messages in chats]

    return asyncio.run(all_())


def test_conversations_of_one_form_are_rendered_with_few_questions() -> None:
    engine, alone = Engine(), Engine()
    chats = [chat(number, f"Twice {number}" if number % 2 else "") for number in range(60)]
    assert renders(Skeletons(JINJA), engine, *chats) == renders(
        Skeletons(JINJA, quick=False), alone, *chats
    )
    assert alone.asked == 60
    assert engine.asked == 2 * (1 + 3)


@pytest.mark.parametrize("write", [json.dumps, str.upper, str.strip, lambda text: text[:50]])
def test_a_template_that_changes_texts_is_asked_each_time(write: Callable[[str], str]) -> None:
    engine = Engine(write)
    chats = [chat(number) for number in range(20)]
    # Only strip leaves a text that has no space around it.
    asked = 4 if write is str.strip else 21
    assert renders(Skeletons(JINJA), engine, *chats) == [
        asyncio.run(Engine(write).ask(c)) for c in chats
    ]
    assert engine.asked == asked


@pytest.mark.parametrize("text", ["a</think>b", " a", "a\n", "", "Qz0begin", "a\0b", "\0text"])
def test_a_text_that_a_template_may_look_at_is_left_to_the_engine(text: str) -> None:
    engine = Engine(lambda content: content.split("</think>")[-1].strip())
    chats = [[Message(role="user", content=text), *chat(number)[1:]] for number in range(20)]
    expected = [asyncio.run(Engine(engine.write).ask(c)) for c in chats]
    assert renders(Skeletons(JINJA), engine, *chats) == expected


def calling(number: int, **more: object) -> list[Message]:
    function = ToolFunction("add", {"a": number, "in": {"unit": f"unit {number}"}, **more})
    call = ToolCall(function, id=f"call{number:05}")
    return [
        Message(role="user", content=f"Add {number}"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content=f"{{'sum': {number}}}", tool_call_id=call.id),
    ]


def test_calls_are_passed_on_too() -> None:
    engine, alone = Engine(), Engine()
    chats = [calling(number) for number in range(60)]
    assert renders(Skeletons(JINJA), engine, *chats) == renders(
        Skeletons(JINJA, quick=False), alone, *chats
    )
    assert (engine.asked, alone.asked) == (4, 60)


@pytest.mark.parametrize("value", ['a "b"', "é", 1.5, True, None, -3, "<x>", " a", ""])
def test_an_argument_that_may_be_written_otherwise_makes_a_form_of_its_own(value: object) -> None:
    engine = Engine()
    chats = [calling(number, b=value) for number in range(5)]
    expected = [asyncio.run(Engine().ask(messages)) for messages in chats]
    assert renders(Skeletons(JINJA), engine, *chats) == expected
    other = calling(9, b="plain")
    assert renders(Skeletons(JINJA), engine, other) == [asyncio.run(Engine().ask(other))]
    assert engine.asked == 6


def test_a_template_that_looks_at_what_nobody_expected_is_noticed() -> None:
    def write(text: str) -> str:
        return "secret" if text == "What is 2+2?" else text

    with pytest.raises(OtherwiseError):
        renders(Skeletons(JINJA), Engine(write), chat(0), chat(1), chat(2))

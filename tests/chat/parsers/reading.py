"""What the tests of all formats share: a parser fed in pieces, and what it made of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ayllu.chat.parsers import Setting, make_parser
from ayllu.types import Event, TextEvent, ThinkingEvent, ToolCallEvent

Told = list[tuple[str, Any]]


def tool(name: str, **types: Any) -> dict[str, Any]:
    """A tool with arguments of these types, or schemas."""
    schemas = {k: {"type": v} if isinstance(v, str | list) else v for k, v in types.items()}
    parameters = {"type": "object", "properties": schemas}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = (
    tool("add", a="integer", b="number"),
    tool("get_weather", city="string", days="integer", metric="boolean"),
    tool("save", items="array", data="object", note=["string", "null"]),
)


def told(events: Iterable[Event]) -> Told:
    """The Events, those of a kind that follow each other joined, as pairs of kind and content."""
    found: Told = []
    for event in events:
        if isinstance(event, ToolCallEvent):
            found += [("call", (c.function.name, c.function.arguments)) for c in event.calls]
            continue
        assert isinstance(event, TextEvent | ThinkingEvent)
        kind = "text" if isinstance(event, TextEvent) else "thinking"
        if found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + event.text)
        else:
            found.append((kind, event.text))
    return found


def read(name: str, pieces: Sequence[str], *, ended_by_limit: bool = False, **setting: Any) -> Told:
    """What a parser makes of a text in pieces; calls are numbered and have ids of their own."""
    parser = make_parser(name, Setting(**{"tools": TOOLS} | setting))
    events = [event for piece in pieces for event in parser.feed(piece)]
    events += parser.finish(cut=ended_by_limit)
    calls = [call for e in events if isinstance(e, ToolCallEvent) for call in e.calls]
    assert [call.function.index for call in calls] == list(range(len(calls)))
    assert len({call.id for call in calls}) == len(calls)
    return told(events)


def say(text: str) -> tuple[str, str]:
    return ("text", text)


def think(text: str) -> tuple[str, str]:
    return ("thinking", text)


def call(name: str, **arguments: Any) -> tuple[str, Any]:
    return ("call", (name, arguments))


def cut(text: str, places: Iterable[int]) -> list[str]:
    edges = [0, *sorted(places), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


def check_cuts(name: str, cases: Sequence[tuple[str, Told]], **setting: Any) -> None:
    """Every case whole, letter by letter, and cut anywhere."""
    for text, expected in cases:
        assert read(name, [text], **setting) == expected, text
        assert read(name, list(text), **setting) == expected, text

    @settings(deadline=None)
    @given(st.data())
    def anywhere(data: st.DataObject) -> None:
        text, expected = data.draw(st.sampled_from(cases))
        places = data.draw(st.lists(st.integers(0, len(text)), max_size=10))
        assert read(name, cut(text, places), **setting) == expected

    anywhere()


def check_noise(name: str, words: Sequence[str] = (), **setting: Any) -> None:
    """Tags in any order never raise, and where the text is cut makes no difference."""
    pieces = [
        *make_parser(name, Setting()).tags,
        *words,
        "add",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        '"',
        "'",
        "\\",
    ]
    pieces += [" ", "\n", "é", ":", ",", "=", "1", '{"name": "add"}', "<", "to=functions.add"]

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(pieces), max_size=14))
    def anything(parts: list[str]) -> None:
        text = "".join(parts)
        assert read(name, parts, **setting) == read(name, [text], **setting)
        assert read(name, list(text), **setting) == read(name, [text], **setting)

    anything()


def check_plain(name: str, **setting: Any) -> None:
    """Text without tags is passed on as it is, at once but for white space at its end."""

    @settings(deadline=None)
    @given(st.text())
    def plain(text: str) -> None:
        if not any(mark in text for mark in "<["):
            joined = "".join(part for _, part in read(name, list(text), **setting))
            assert joined == text

    plain()
    parser = make_parser(name, Setting(**{"tools": TOOLS} | setting))
    assert told(parser.feed("Hello")) == [say("Hello")]
    if "tools" not in setting:
        assert told(parser.feed(" world")) == [say(" world")]

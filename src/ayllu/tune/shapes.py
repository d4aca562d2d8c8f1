"""The shapes that rows come in, and what an example each is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

from msgspec import Struct

from ayllu.tune.messages import read_list, read_text, read_tools, read_turns
from ayllu.tune.rows import Chat, RowError, Text
from ayllu.types import Json, Message

LISTS = frozenset({"messages", "conversations", "conversation", "prompt", "completion"})
"""Members that are lists of messages: an object with one is a row."""

DOCUMENT = "document"
"""The shape of a file that is a text."""

_DOCUMENTS = "documents, each learned as it is"


class Shape(Struct, frozen=True):
    """How a row is known, and what is made of it. `meaning` is for people."""

    name: str
    meaning: str
    fits: Callable[[Mapping[str, Json]], bool]
    read: Callable[[Mapping[str, Json]], Chat | Text]


def read_row(value: Json) -> tuple[str, Chat | Text]:
    """The name of a row's shape and its example. Raises RowError with what is wrong."""
    if not isinstance(value, dict):
        raise RowError("it is no object with named fields")
    row = {str(key).strip().lower(): item for key, item in value.items() if item is not None}
    for shape in SHAPES.values():
        if shape.fits(row):
            return shape.name, shape.read(row)
    fields = ", ".join(list(row)[:8]) or "none"
    known = ", ".join(f"`{name}`" for name in SHAPES)
    raise RowError(f"its fields ({fields[:200]}) are of no known shape: there are {known}")


def explain(counts: Mapping[str, int]) -> str:
    """What rows of some shapes are, for people."""
    return "; ".join(
        f"{count:,} of `{name}` ({SHAPES[name].meaning if name in SHAPES else _DOCUMENTS})"
        for name, count in counts.items()
    )


def _has(*names: str) -> Callable[[Mapping[str, Json]], bool]:
    return lambda row: all(any(one in row for one in name.split("|")) for name in names)


def _first(row: Mapping[str, Json], names: str) -> str:
    """The text of the first of some fields that is there."""
    for name in names.split("|"):
        if name in row:
            return read_text(row[name], name)
    return ""


def _conversation(names: str) -> Callable[[Mapping[str, Json]], Chat]:
    def read(row: Mapping[str, Json]) -> Chat:
        name = next(name for name in names.split("|") if name in row)
        messages, ignored = read_turns(read_list(row[name], name))
        return _chat(row, messages, ignored=ignored)

    return read


def _pair(question: str, answer: str, more: str = "") -> Callable[[Mapping[str, Json]], Chat]:
    """A question, what belongs to it after a blank line, and an answer."""

    def read(row: Mapping[str, Json]) -> Chat:
        texts = [_first(row, question), _first(row, more)]
        asked = Message(role="user", content="\n\n".join(filter(None, texts)))
        if not asked.content:
            raise RowError(f"its {question.partition('|')[0]} is empty")
        return _chat(row, (asked, Message(role="assistant", content=_first(row, answer))))

    return read


def _completion(row: Mapping[str, Json]) -> Chat:
    """A prompt and its completion, each a text or messages; only the completion is learned."""
    answer = "completion" if "completion" in row else "response"
    if not (isinstance(row["prompt"], list) or isinstance(row[answer], list)):
        return _pair("prompt", answer)(row)
    before, _ = _said(row["prompt"], "user")
    after, ignored = _said(row[answer], "assistant")
    places = {n + len(before) for n in ignored} | set(range(len(before)))
    return _chat(row, (*before, *after), ignored=frozenset(places))


def _said(value: Json, role: str) -> tuple[tuple[Message, ...], frozenset[int]]:
    return read_turns(value if isinstance(value, list) else [{"role": role, "content": value}])


def _chat(
    row: Mapping[str, Json],
    messages: tuple[Message, ...],
    *,
    ignored: frozenset[int] = frozenset(),
) -> Chat:
    """A conversation with the row's own system prompt and tools. Raises RowError."""
    system = _first(row, "system|system_prompt")
    if system and messages[0].role != "system":
        messages = (Message(role="system", content=system), *messages)
        ignored = frozenset(place + 1 for place in ignored)
    asked = next((n for n, one in enumerate(messages) if one.role in {"user", "tool"}), None)
    said = [n for n, one in enumerate(messages) if one.role == "assistant"]
    if not said:
        raise RowError("it has no message of the assistant, so there is nothing to learn")
    if asked is None or said[-1] < asked:
        raise RowError("the assistant says nothing after the user's first message")
    for before, after in pairwise(said):
        if after == before + 1:
            raise RowError(
                f"the assistant's messages {before + 1} and {after + 1} follow one another: "
                "make one of them"
            )
    learned = tuple(n for n in said if n > asked and n not in ignored)
    if not learned:
        raise RowError("all of the assistant's messages are marked as not to be learned")
    for place in learned:
        one = messages[place]
        if not (one.content.strip() or one.tool_calls):
            raise RowError(f"message {place + 1}, the assistant's, is empty")
    tools = read_tools(row.get("tools", row.get("functions")))
    return Chat(messages=messages[: learned[-1] + 1], learned=learned, tools=tools)


def _text(row: Mapping[str, Json]) -> Text:
    text = read_text(row["text"], "text")
    if not text.strip():
        raise RowError("its text is empty")
    return Text(text)


SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape(
            "messages",
            "conversations as OpenAI has them, with tools; the assistant's messages are learned",
            _has("messages"),
            _conversation("messages"),
        ),
        Shape(
            "conversations",
            "conversations as ShareGPT has them; what the assistant says is learned",
            _has("conversations|conversation"),
            _conversation("conversations|conversation"),
        ),
        Shape(
            "prompt/completion",
            "a prompt is the user's message, its completion the answer to learn",
            _has("prompt", "completion|response"),
            _completion,
        ),
        Shape(
            "instruction/output",
            "Alpaca: instruction and input are the user's message, output the answer to learn",
            _has("instruction", "output|response"),
            _pair("instruction", "output|response", "input|context"),
        ),
        Shape(
            "question/answer",
            "a question is the user's message, the answer is learned",
            _has("question", "answer"),
            _pair("question", "answer", "context"),
        ),
        Shape("text", "raw texts, each learned as it is", _has("text"), _text),
    )
}
"""By name; the first that fits a row counts."""

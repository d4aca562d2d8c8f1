"""A conversation's items become turns, where a dialect writes one turn in several items. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ayllu.types import Message


def add_turn(messages: list[Message], turn: Message) -> None:
    """Neighbours of one role become one turn, for templates may refuse two; tools' answers stay."""
    last = messages[-1] if messages else None
    if last is None or last.role != turn.role or turn.role == "tool":
        messages.append(turn)
        return
    messages[-1] = Message(
        role=turn.role,
        content=lines([last.content, turn.content]),
        thinking=lines([last.thinking, turn.thinking]),
        images=last.images + turn.images,
        tool_calls=last.tool_calls + turn.tool_calls,
    )


def lines(parts: Iterable[str]) -> str:
    """Texts on lines of their own, as llama.cpp joins the parts of a message."""
    return "\n".join(part for part in parts if part)

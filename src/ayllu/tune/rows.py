"""What the user's data is made of: rows, each an example to learn from or bad with a reason."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from ayllu.types import Json, Message


class BadRow(Struct, frozen=True):
    """What cannot be trained on, and why. `line` counts from 1; 0 stands for the whole file."""

    file: str
    line: int
    reason: str

    @property
    def sentence(self) -> str:
        """Where it is and why, for an error."""
        where = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{where}: {self.reason}"


class RowError(Exception):
    """A row that cannot be trained on; the text says why."""


class Chat(Struct, frozen=True):
    """A conversation. `learned` are the places of the assistant's turns that are to be learned."""

    messages: tuple[Message, ...]
    learned: tuple[int, ...]
    tools: tuple[Mapping[str, Json], ...] = ()


class Text(Struct, frozen=True):
    """A text of which every token is to be learned: a document, or a part of a long one."""

    text: str
    begins: bool = True
    ends: bool = True


class Row(Struct, frozen=True):
    """An example and where it stands. `shape` is a name of `shapes.SHAPES`."""

    file: str
    line: int
    shape: str
    example: Chat | Text

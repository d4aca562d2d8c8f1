"""What every parser of a named output format looks like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from msgspec import Struct

from ayllu.chat.request import Think
from ayllu.types import Event, Json


class Setting(Struct, frozen=True, kw_only=True):
    """What a parser is told of its request.

    `prompt` is the text that the answer goes on from. `prefilled` says that the last message is the
    assistant's, so the answer is the rest of a text that was begun already.
    """

    tools: tuple[Mapping[str, Json], ...] = ()
    think: Think | None = None
    prompt: str = ""
    prefilled: bool = False


class Parser(Protocol):
    """Reads one answer. Its Events do not depend on how the text was cut.

    A call that cannot be read stays text: nothing that the model wrote gets lost or raises.
    """

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the format: where they are special tokens, the engine must not hide them."""

    @property
    def thinks(self) -> bool:
        """Whether the model thinks first, so that an answer's form must wait for its own text."""

    @property
    def text_start(self) -> int | None:
        """The place in all that was fed where the answer's own text starts; None before it does."""

    def feed(self, text: str) -> Iterator[Event]:
        """The Events that are certain by now."""

    def finish(self, *, cut: bool = False) -> Iterator[Event]:
        """What was held back when the answer ends.

        One that was `cut` by a limit may end within a call: that call is none, for its arguments
        may be cut too.
        """

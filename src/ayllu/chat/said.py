"""What of an answer was said already: all that another engine, or machine, needs to go on with it.

An answer that is free goes on from the tokens that the engine gave (`steps`). One that is held to a
form is run again from its start, and what the client has of it is matched (`sent`). A token takes
about 150 bytes of memory, 33 as MessagePack; probabilities, where asked for, come on top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

from msgspec import Meta, Struct, field, structs

from ayllu.runner.chunks import Chunk, Progress
from ayllu.runner.options import LARGEST
from ayllu.types import (
    PromptEvent,
    TextEvent,
    ThinkingEvent,
    TokenLogprob,
    ToolCallEvent,
    ToolPieceEvent,
)

_Count = Annotated[int, Meta(ge=0, le=LARGEST)]

Sent = PromptEvent | TextEvent | ThinkingEvent | ToolCallEvent | ToolPieceEvent
"""What a client has of an answer, the last event apart."""


class Step(Struct, frozen=True, omit_defaults=True, tag=True, gc=False):
    """One step of an engine, as it came. `token` is -1 where the engine parses and names none.

    `hidden` counts the tokens before it that the engine did not name: the first bytes of a
    character that this one ends.
    """

    text: str = ""
    token: int = -1
    hidden: _Count = 0
    thinking: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def chunk(self) -> Chunk:
        """The chunk of the engine that this was."""
        return Chunk(
            text=self.text,
            thinking=self.thinking,
            logprobs=self.logprobs,
            tokens=() if self.token < 0 else (self.token,),
            hidden=self.hidden,
        )


class Said(Struct, kw_only=True, omit_defaults=True, tag=True):
    """An answer as far as it has come.

    `prompt` is the one that the engine got, as text or token ids; None where it is rendered anew,
    for it has images, or the engine renders it. It had `prompt_tokens`, of which `cached` came from
    the engine's cache, and came of a request without its `truncated` oldest messages. `formed` is
    an answer that is held to a form. `replays` counts the runs that ended too early after
    it had begun. The times, in milliseconds, are of all runs. `end` is the engine's last word.
    """

    seed: _Count
    formed: bool = False
    prompt: str | tuple[int, ...] | None = None
    truncated: _Count = 0
    prompt_tokens: _Count = 0
    cached: _Count = 0
    replays: _Count = 0
    prompt_ms: float = 0.0
    predicted_ms: float = 0.0
    end: Chunk | None = None
    steps: list[Step] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)

    @property
    def has_begun(self) -> bool:
        """Whether anything was said."""
        return bool(self.steps or self.sent)

    def add(self, item: Step | Sent) -> None:
        """Something more was said."""
        if isinstance(item, Step):
            self.steps.append(item)
        else:
            self.sent.append(item)

    @property
    def text(self) -> str:
        """The text, as the engine sent it."""
        return "".join(step.text for step in self.steps)

    @property
    def thinking(self) -> str:
        """The thinking that the engine told apart."""
        return "".join(step.thinking for step in self.steps)

    @property
    def head(self) -> Said:
        """The same without what was said."""
        return structs.replace(self, steps=[], sent=[])

    def chunks(self) -> Iterator[Chunk]:
        """What the engine said, as it came."""
        if self.prompt_tokens:
            yield Chunk(progress=Progress(self.prompt_tokens, self.cached))
        for step in self.steps:
            yield step.chunk


Item = Said | Step | Sent
"""What a record is made of: its head, whenever that is new, and then each step as it comes."""


def joined(said: Said | None, item: Item) -> Said:
    """A record with one item more, which is changed in place. Its first item must be a head."""
    if isinstance(item, Said):
        return item if said is None else structs.replace(item, steps=said.steps, sent=said.sent)
    if said is None:
        raise ValueError("a record of an answer that has no head")
    said.add(item)
    return said


class Record:
    """A Said that grows. `observe` is called with each Item as it comes."""

    def __init__(self, said: Said, observe: Callable[[Item], None] | None = None) -> None:
        self.said = said
        self._observe = observe
        self._told_head = False

    def start(self) -> None:
        """A run begins."""
        self._told_head = False

    def add(self, item: Step | Sent) -> None:
        """Something was said."""
        self.said.add(item)
        if self._observe is None:
            return
        if not self._told_head:
            self._told_head = True
            self._observe(self.said.head)
        self._observe(item)

    def end(self, chunk: Chunk) -> None:
        """The engine said its last word."""
        self.said.end = chunk
        if self._observe is not None:
            self._told_head = True
            self._observe(self.said.head)

"""Runs a request again after its engine died, without the client noticing.

The second run has the same seed, so it gives the same answer; what the client has of it already is
matched and left out. An answer that turns out different ends in an error, never in a mixed text.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import structs

from ayllu.errors import EngineError
from ayllu.types import (
    Event,
    PromptEvent,
    TextEvent,
    ThinkingEvent,
    TokenLogprob,
    ToolCallEvent,
    ToolPieceEvent,
)

MAX_FRUITLESS = 3
"""Runs in a row that may end without a step forward."""

MAX_FRUITLESS_ATTACHED = 1
"""The same with images or sounds, which may be what the engine does not survive."""

MAX_REPLAYS = 3
"""Runs after one in which the answer had begun, however far each got."""


class Replay:
    """What one client has received, over all runs of its request.

    `replays` counts the runs that ended too early after the answer had begun.
    """

    def __init__(self, max_fruitless: int = MAX_FRUITLESS, replays: int = 0) -> None:
        self.replays = replays
        self._max_fruitless = max_fruitless
        self._sent_logprobs = 0
        self._seen_logprobs = 0
        self._texts = {TextEvent: _Text(), ThinkingEvent: _Text()}
        self._pieces: dict[int, tuple[str, _Text]] = {}
        self._told_prompt = False
        self._calls: list[ToolCallEvent] = []
        self._seen_calls = 0
        self._steps = 0
        self._steps_before = -1
        self._fruitless = 0

    @property
    def has_begun(self) -> bool:
        """Whether the client has anything of the answer."""
        return self._steps > 0

    def start(self) -> None:
        """A run begins."""
        for text in self._texts.values():
            text.start()
        for _, arguments in self._pieces.values():
            arguments.start()
        self._seen_calls = 0
        self._seen_logprobs = 0

    def may_try_again(self, *, hung: bool = False) -> bool:
        """Whether another run is worth while: the last one got further, or few did not.

        A second one that `hung` is enough: most likely it is this request that it hangs at. An
        answer that has begun, and goes on a little with each engine that it ends, does not end all.
        """
        weight = self._max_fruitless if hung else 1
        self._fruitless = 0 if self._steps > self._steps_before else self._fruitless + weight
        self._steps_before = self._steps
        self.replays += self.has_begun
        return self._fruitless < self._max_fruitless and self.replays <= MAX_REPLAYS

    def pass_on(self, event: Event) -> Iterator[Event]:
        """What of an event the client does not have yet. Raises EngineError on another answer."""
        if isinstance(event, TextEvent | ThinkingEvent):
            new = self._texts[type(event)].take(event.text)
            logprobs = self._new_logprobs(event.logprobs)
            if new is not None or logprobs:
                self._steps += 1
                same = new == event.text and len(logprobs) == len(event.logprobs)
                yield event if same else structs.replace(event, text=new or "", logprobs=logprobs)
        elif isinstance(event, ToolCallEvent):
            yield from self._pass_calls(event)
        elif isinstance(event, ToolPieceEvent):
            yield from self._pass_piece(event)
        elif not (isinstance(event, PromptEvent) and self._told_prompt):
            self._told_prompt |= isinstance(event, PromptEvent)
            yield event

    def _new_logprobs(self, logprobs: tuple[TokenLogprob, ...]) -> tuple[TokenLogprob, ...]:
        known = max(self._sent_logprobs - self._seen_logprobs, 0)
        self._seen_logprobs += len(logprobs)
        self._sent_logprobs = max(self._sent_logprobs, self._seen_logprobs)
        return logprobs[known:]

    def _pass_calls(self, event: ToolCallEvent) -> Iterator[Event]:
        self._seen_calls += 1
        if self._seen_calls > len(self._calls):
            self._calls.append(event)
            self._steps += 1
            yield event
        elif _without_ids(self._calls[self._seen_calls - 1]) != _without_ids(event):
            raise _different()

    def _pass_piece(self, event: ToolPieceEvent) -> Iterator[Event]:
        name, arguments = self._pieces.setdefault(event.index, (event.name, _Text()))
        if event.name and event.name != name:
            raise _different()
        new = arguments.take(event.arguments)
        if new is not None:
            self._steps += 1
            yield event if new == event.arguments else structs.replace(event, arguments=new)


class _Text:
    """The text of one kind: what was sent before this run, and how far this run matched it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._known = ""
        self._matched = 0

    def start(self) -> None:
        self._known = "".join(self._pieces)
        self._matched = 0

    def take(self, text: str) -> str | None:
        """What of the text is new; None where all of it was sent before."""
        repeating = self._matched < len(self._known)
        known = self._known[self._matched : self._matched + len(text)]
        if not text.startswith(known):
            raise _different()
        self._matched += len(known)
        new = text[len(known) :]
        if repeating and not new:
            return None
        self._pieces.append(new)
        return new


def _without_ids(event: ToolCallEvent) -> ToolCallEvent:
    """Ids are random, so a second run has others."""
    return ToolCallEvent(tuple(structs.replace(call, id="") for call in event.calls))


def _different() -> EngineError:
    return EngineError(
        "the engine stopped in the middle of the answer and gave another one when it was asked "
        "again: please repeat the request"
    )

"""Runs a request again after its engine died, without the client noticing.

The second run has the same seed, so it gives the same answer; what the client has of it already is
matched and left out. An answer that turns out different ends in an error, never in a mixed text.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import structs

from ayllu.errors import EngineError
from ayllu.types import Event, TextEvent, ThinkingEvent, ToolCallEvent

MAX_FRUITLESS = 3
"""Runs in a row that may end without a step forward."""


class Replay:
    """What one client has received, over all runs of its request."""

    def __init__(self) -> None:
        self._sent = {TextEvent: "", ThinkingEvent: ""}
        self._calls: list[ToolCallEvent] = []
        self._seen = {TextEvent: 0, ThinkingEvent: 0}
        self._seen_calls = 0
        self._steps = 0
        self._steps_before = -1
        self._fruitless = 0

    def start(self) -> None:
        """A run begins."""
        self._seen = dict.fromkeys(self._seen, 0)
        self._seen_calls = 0

    def may_try_again(self) -> bool:
        """Whether another run is worth while: the last ones got further, or few did not."""
        self._fruitless = 0 if self._steps > self._steps_before else self._fruitless + 1
        self._steps_before = self._steps
        return self._fruitless < MAX_FRUITLESS

    def pass_on(self, event: Event) -> Iterator[Event]:
        """What of an event the client does not have yet. Raises EngineError on another answer."""
        if isinstance(event, TextEvent | ThinkingEvent):
            yield from self._pass_text(event)
        elif isinstance(event, ToolCallEvent):
            yield from self._pass_calls(event)
        else:
            yield event

    def _pass_text(self, event: TextEvent | ThinkingEvent) -> Iterator[Event]:
        kind = type(event)
        start = self._seen[kind]
        known = self._sent[kind][start : start + len(event.text)]
        if not event.text.startswith(known):
            raise _different()
        self._seen[kind] += len(event.text)
        new = event.text[len(known) :]
        if new or (event.logprobs and not known):
            self._sent[kind] += new
            self._steps += 1
            yield event if not known else structs.replace(event, text=new)

    def _pass_calls(self, event: ToolCallEvent) -> Iterator[Event]:
        self._seen_calls += 1
        if self._seen_calls > len(self._calls):
            self._calls.append(event)
            self._steps += 1
            yield event
        elif _without_ids(self._calls[self._seen_calls - 1]) != _without_ids(event):
            raise _different()


def _without_ids(event: ToolCallEvent) -> ToolCallEvent:
    """Ids are random, so a second run has others."""
    return ToolCallEvent(tuple(structs.replace(call, id="") for call in event.calls))


def _different() -> EngineError:
    return EngineError(
        "the engine stopped in the middle of the answer and gave another one when it was asked "
        "again: please repeat the request"
    )

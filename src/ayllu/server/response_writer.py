"""Events as the stream events of a response, and the response that they add up to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from msgspec import Struct, structs

from ayllu.chat.hop import new_token
from ayllu.errors import AylluError
from ayllu.server import wire_response_events as events
from ayllu.server import wire_responses as wire
from ayllu.server.openai_replies import wire_logprobs
from ayllu.server.response_parts import (
    OpenCall,
    OpenCustomCall,
    OpenItem,
    OpenMessage,
    OpenReasoning,
    OpenSummary,
)
from ayllu.server.response_tools import Tool
from ayllu.types import DoneEvent, Event, TextEvent, ThinkingEvent, Timings, ToolPieceEvent


class Manner(Struct, frozen=True, kw_only=True):
    """What a request wants to see. `tools` are found by the names that the model calls them."""

    tools: Mapping[str, Tool]
    summarizes: bool = False
    sends_back: bool = False
    logprobs: bool = False


class ResponseWriter:
    """Writes one answer, which has to be a detailed one.

    `response` is how far it is: finished after the DoneEvent, whose stream event is `last`.
    """

    def __init__(self, response: wire.Response, manner: Manner) -> None:
        self.response = response
        self.started = False
        self._manner = manner
        self._open: OpenItem | None = None
        self._items: list[wire.Item] = []
        self._call = -1
        self._held: list[TextEvent] = []

    def feed(self, event: Event) -> Iterator[events.StreamEvent]:
        """The stream events that an Event stands for, but for the last of all."""
        if not self.started:
            self.started = True
            yield events.Created(response=self.response)
            yield events.InProgress(response=self.response)
        if isinstance(event, ThinkingEvent):
            yield from self._think(event.text)
        elif isinstance(event, TextEvent):
            yield from self._write(event)
        elif isinstance(event, ToolPieceEvent):
            yield from self._use(event)
        elif isinstance(event, DoneEvent):
            yield from self._finish(event)

    def last(self) -> events.StreamEvent:
        """The event with the finished response."""
        if self.response.status == "incomplete":
            return events.Incomplete(response=self.response)
        return events.Completed(response=self.response)

    def failed(self, error: AylluError) -> events.StreamEvent:
        """The last event of an answer that broke, with the items that are whole."""
        code = "server_error" if error.status >= 500 else "invalid_prompt"
        return events.Failed(
            response=structs.replace(
                self.response,
                status="failed",
                error=wire.ResponseError(code, error.sentence),
                output=tuple(self._items),
                store=False,
            )
        )

    def _think(self, text: str) -> Iterator[events.StreamEvent]:
        if not text:
            return
        item = self._open
        if not isinstance(item, OpenReasoning):
            yield from self._end(cut=False)
            kind = OpenSummary if self._manner.summarizes else OpenReasoning
            item = kind(len(self._items), sends_back=self._manner.sends_back)
            yield from self._begin(item)
        yield from item.add(text)

    def _write(self, event: TextEvent) -> Iterator[events.StreamEvent]:
        """White space between other items is no text: it waits for some."""
        texts = [*self._held, event]
        item = self._open
        if not isinstance(item, OpenMessage):
            if not event.text.strip():
                self._held = texts
                return
            yield from self._end(cut=False)
            item = OpenMessage(len(self._items))
            yield from self._begin(item)
        for one in texts:
            item.logprobs = wire_logprobs(one.logprobs) if self._manner.logprobs else ()
            if one.text or item.logprobs:
                yield from item.add(one.text)

    def _use(self, piece: ToolPieceEvent) -> Iterator[events.StreamEvent]:
        item = self._open
        if piece.index != self._call or not isinstance(item, OpenCall):
            yield from self._end(cut=False)
            self._call = piece.index
            tool = self._manner.tools.get(piece.name) or Tool(piece.name)
            kind = OpenCustomCall if tool.is_custom else OpenCall
            ident = piece.id or f"call_{new_token(12)}"
            item = kind(len(self._items), tool, ident)
            yield from self._begin(item)
        if piece.arguments:
            yield from item.add(piece.arguments)

    def _begin(self, item: OpenItem) -> Iterator[events.StreamEvent]:
        self._open = item
        self._held = []
        yield from item.begin()

    def _end(self, *, cut: bool) -> Iterator[events.StreamEvent]:
        if self._open is None:
            return
        for event in self._open.end(cut=cut):
            if isinstance(event, events.ItemDone):
                self._items.append(event.item)
            yield event
        self._open = None

    def _finish(self, done: DoneEvent) -> Iterator[events.StreamEvent]:
        cut = done.reason == "length"
        yield from self._end(cut=cut)
        self.response = structs.replace(
            self.response,
            status="incomplete" if cut else "completed",
            completed_at=None if cut else int(time.time()),
            incomplete_details=wire.IncompleteDetails("max_output_tokens") if cut else None,
            output=tuple(self._items),
            usage=_usage(done.timings),
        )


def _usage(timings: Timings) -> wire.Usage:
    return wire.Usage(
        input_tokens=timings.prompt_eval_count,
        input_tokens_details=wire.InputDetails(timings.prompt_cached_count),
        output_tokens=timings.eval_count,
        total_tokens=timings.prompt_eval_count + timings.eval_count,
    )

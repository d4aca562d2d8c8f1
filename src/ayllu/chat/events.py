"""Chunks of the engine become Events: parsers split the text, tool calls are put together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from msgspec import structs

from ayllu.chat.parsers.parser import Parser
from ayllu.errors import EngineError
from ayllu.runner.client import Chunk, EngineTimings, ToolDelta
from ayllu.types import (
    DoneEvent,
    Event,
    TextEvent,
    ThinkingEvent,
    Timings,
    TokenLogprob,
    ToolCall,
    ToolCallEvent,
    ToolFunction,
)


class EventBuilder:
    """Builds the Events of one run.

    The parser is for text that the engine did not parse itself. `top` is how many alternatives per
    token were asked for: the engine always sends at least one.
    """

    def __init__(self, *, parser: Parser | None = None, top: int = 0) -> None:
        self._parser = parser
        self._top = top
        self._space = ""
        self._deltas: dict[int, ToolDelta] = {}
        self._pieces: list[str] = []
        self.tokens: list[int] = []
        self.finish = ""
        self.timings = EngineTimings()

    @property
    def text(self) -> str:
        """All text of the run, as the engine sent it."""
        return "".join(self._pieces)

    def feed(self, chunk: Chunk) -> Iterator[Event]:
        """The Events that a chunk completes."""
        self.tokens += chunk.tokens
        self._pieces.append(chunk.text)
        self.finish = chunk.finish or self.finish
        self.timings = chunk.timings or self.timings
        logprobs = self._cut(chunk.logprobs)
        if chunk.thinking:
            yield from self._think(chunk.thinking, logprobs)
        if chunk.text or (logprobs and not chunk.thinking):
            yield from self._parse(chunk.text, logprobs)
        for delta in chunk.tools:
            yield from self._collect(delta)

    def close(self, *, load_duration: int, truncated: int, context: tuple[int, ...]) -> DoneEvent:
        """The last Event. `load_duration` is in nanoseconds."""
        timings = self.timings
        return DoneEvent(
            reason="length" if self.finish == "length" else "stop",
            timings=Timings(
                load_duration=load_duration,
                prompt_eval_count=timings.cache_n + timings.prompt_n,
                prompt_eval_duration=round(timings.prompt_ms * 1e6),
                eval_count=timings.predicted_n,
                eval_duration=round(timings.predicted_ms * 1e6),
            ),
            context=context,
            truncated=truncated,
        )

    def flush(self) -> Iterator[Event]:
        """What was held back when the answer ends."""
        if self._parser is not None:
            yield from self._parser.finish()
        if self._deltas:
            yield self._complete_calls()

    def _think(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> Iterator[Event]:
        """Thinking that the engine told apart; white space waits, for at the end it goes."""
        text = self._space + text
        told = text.rstrip()
        self._space = text[len(told) :]
        if told or logprobs:
            yield ThinkingEvent(told, logprobs)

    def _parse(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> Iterator[Event]:
        """The Events in a text; the probabilities go with the first one that takes them."""
        events: Iterable[Event] = [TextEvent(text)] if self._parser is None and text else ()
        for event in self._parser.feed(text) if self._parser is not None else events:
            if logprobs and isinstance(event, TextEvent | ThinkingEvent):
                yield structs.replace(event, logprobs=logprobs)
                logprobs = ()
            else:
                yield event
        if logprobs:
            yield TextEvent("", logprobs)

    def _collect(self, delta: ToolDelta) -> Iterator[Event]:
        """Join the pieces of a call; a new index means that the calls before it are whole."""
        known = self._deltas.get(delta.index)
        if known is None and self._deltas:
            yield self._complete_calls()
        if known is not None:
            delta = ToolDelta(
                delta.index,
                known.id or delta.id,
                known.name + delta.name,
                known.arguments + delta.arguments,
            )
        self._deltas[delta.index] = delta

    def _complete_calls(self) -> ToolCallEvent:
        calls = tuple(_whole_call(delta) for delta in self._deltas.values())
        self._deltas.clear()
        return ToolCallEvent(calls)

    def _cut(self, logprobs: tuple[TokenLogprob, ...]) -> tuple[TokenLogprob, ...]:
        return tuple(
            TokenLogprob(item.token, item.logprob, item.bytes, item.top_logprobs[: self._top])
            for item in logprobs
        )


def _whole_call(delta: ToolDelta) -> ToolCall:
    try:
        arguments = json.loads(delta.arguments or "{}")
    except ValueError as error:
        raise EngineError(
            f"the model called {delta.name!r} with arguments that are not JSON: the answer was "
            "probably cut short by num_predict or the context"
        ) from error
    function = ToolFunction(name=delta.name, arguments=arguments, index=delta.index)
    return ToolCall(id=delta.id, function=function)

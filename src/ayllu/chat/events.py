"""Chunks of the engine become Events: parsers split the text, tool calls are put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import UNSET, structs

from ayllu.chat.calls import read_json
from ayllu.chat.parsers.parser import Parser
from ayllu.chat.parsers.values import read_arguments
from ayllu.errors import EngineError
from ayllu.runner.chunks import Chunk, EngineTimings, ToolDelta
from ayllu.types import (
    DoneEvent,
    Event,
    PromptEvent,
    TextEvent,
    ThinkingEvent,
    Timings,
    TokenLogprob,
    ToolCall,
    ToolCallEvent,
    ToolFunction,
    ToolPieceEvent,
)


class EventBuilder:
    """Builds the Events of one run.

    The parser is for text that the engine did not parse itself. `top` is how many alternatives per
    token were asked for: the engine always sends at least one. With `one_call`, tool calls after
    the first are left out. `detailed` is the request's.
    """

    def __init__(
        self,
        *,
        parser: Parser | None = None,
        top: int = 0,
        one_call: bool = False,
        detailed: bool = False,
    ) -> None:
        self._parser = parser
        self._top = top
        self._one_call = one_call
        self._called = False
        self._first: int | None = None
        self._detailed = detailed
        self._told_prompt = False
        self._space = ""
        self._deltas: dict[int, ToolDelta] = {}
        self._pieces: list[str] = []
        self.tokens: list[int] = []
        self.finish = ""
        self.stop_word = ""
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
        self.stop_word = chunk.stop_word or self.stop_word
        self.timings = chunk.timings or self.timings
        logprobs = self._cut(chunk.logprobs)
        if chunk.progress and self._detailed and not self._told_prompt:
            self._told_prompt = True
            yield PromptEvent(chunk.progress.total, chunk.progress.cache)
        if chunk.thinking:
            yield from self._think(chunk.thinking, logprobs)
        if chunk.text or (logprobs and not chunk.thinking):
            yield from self._parse(chunk.text, logprobs)
        for delta in chunk.tools:
            if self._detailed:
                yield from self._pass_on(delta)
            else:
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
                prompt_cached_count=timings.cache_n,
            ),
            context=context,
            truncated=truncated,
            stop_word=self.stop_word,
        )

    def flush(self) -> Iterator[Event]:
        """What was held back when the answer ends."""
        # An answer that was cut short may end within a call's arguments: that call is none.
        cut = self.finish == "length"
        if self._parser is not None:
            yield from self._passed(self._parser.finish(cut=cut), ())
        yield from self._complete_calls(cut=cut)

    def _think(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> Iterator[Event]:
        """Thinking that the engine told apart; white space waits, for at the end it goes."""
        text = self._space + text
        told = text.rstrip()
        self._space = text[len(told) :]
        if told or logprobs:
            yield ThinkingEvent(told, logprobs)

    def _parse(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> Iterator[Event]:
        plain: Iterable[Event] = [TextEvent(text)] if text else ()
        yield from self._passed(self._parser.feed(text) if self._parser else plain, logprobs)

    def _passed(
        self, events: Iterable[Event], logprobs: tuple[TokenLogprob, ...]
    ) -> Iterator[Event]:
        """Events of a text; its probabilities go with the first one that takes them."""
        for event in events:
            if isinstance(event, ToolCallEvent):
                yield from self._call(event.calls)
            elif logprobs and isinstance(event, TextEvent | ThinkingEvent):
                yield structs.replace(event, logprobs=logprobs)
                logprobs = ()
            else:
                yield event
        if logprobs:
            yield TextEvent("", logprobs)

    def _collect(self, delta: ToolDelta) -> Iterator[Event]:
        """Join the pieces of a call; a new index means that the calls before it are whole."""
        known = self._deltas.get(delta.index)
        if known is None:
            yield from self._complete_calls()
        if known is not None:
            delta = ToolDelta(
                delta.index,
                known.id or delta.id,
                known.name + delta.name,
                known.arguments + delta.arguments,
            )
        self._deltas[delta.index] = delta

    def _pass_on(self, delta: ToolDelta) -> Iterator[Event]:
        """A piece of a call, or of the first of all where one is enough."""
        if self._first is None:
            self._first = delta.index
        if not self._one_call or delta.index == self._first:
            yield ToolPieceEvent(delta.index, delta.id, delta.name, delta.arguments)

    def _complete_calls(self, *, cut: bool = False) -> Iterator[Event]:
        deltas = [delta for delta in self._deltas.values() if not (cut and _is_cut(delta))]
        self._deltas.clear()
        yield from self._call(tuple(map(_whole_call, deltas)))

    def _call(self, calls: tuple[ToolCall, ...]) -> Iterator[Event]:
        """Calls of tools, or the first of all where one is enough."""
        if self._one_call:
            calls = () if self._called else calls[:1]
        if calls:
            self._called = True
            yield from map(_piece, calls) if self._detailed else (ToolCallEvent(calls),)

    def _cut(self, logprobs: tuple[TokenLogprob, ...]) -> tuple[TokenLogprob, ...]:
        return tuple(
            TokenLogprob(item.token, item.logprob, item.bytes, item.top_logprobs[: self._top])
            for item in logprobs
        )


def _piece(call: ToolCall) -> ToolPieceEvent:
    """A whole call in one piece."""
    index = 0 if call.function.index is UNSET else call.function.index
    arguments = msgspec.json.encode(call.function.arguments).decode()
    return ToolPieceEvent(index, call.id, call.function.name, arguments)


def _is_cut(delta: ToolDelta) -> bool:
    try:
        read_json(delta.arguments)
    except ValueError:
        return True
    return False


def _whole_call(delta: ToolDelta) -> ToolCall:
    try:
        arguments = read_arguments(delta.arguments)
    except ValueError as error:
        raise EngineError(
            f"the model called {delta.name!r} with arguments that are not JSON: the answer was "
            "probably cut short by num_predict or the context"
        ) from error
    function = ToolFunction(name=delta.name, arguments=arguments, index=delta.index)
    return ToolCall(id=delta.id, function=function)

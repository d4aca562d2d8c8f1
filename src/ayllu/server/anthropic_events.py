"""Events as Anthropic's stream events, and a whole message out of those. Ids are random."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct, structs

from ayllu.chat.hop import new_token
from ayllu.errors import EngineError
from ayllu.server.wire_anthropic import (
    BlockDelta,
    BlockStart,
    BlockStop,
    InputJSONDelta,
    Message,
    MessageDelta,
    MessageStart,
    MessageStop,
    OutputBlock,
    SignatureDelta,
    Stop,
    StreamEvent,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    ToolUseBlock,
    Usage,
)
from ayllu.types import (
    DoneEvent,
    Event,
    Json,
    PromptEvent,
    TextEvent,
    ThinkingEvent,
    ToolPieceEvent,
)


class Manner(Struct, frozen=True, kw_only=True):
    """What a request wants to see: its own stop words, thinking at all, and its text."""

    model: str
    stops: Sequence[str] = ()
    thinking: bool = False
    thinking_text: bool = True


class MessageWriter:
    """Writes one answer. A detailed answer comes in, so that calls are pieces."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._started = False
        self._index = -1
        self._open: OutputBlock | None = None
        self._call = -1
        self._space = ""
        self._thought = hashlib.sha256()

    def feed(self, event: Event) -> Iterator[StreamEvent]:
        """The stream events that an Event stands for."""
        yield from self._start(event)
        if isinstance(event, ThinkingEvent) and self._manner.thinking:
            yield from self._think(event.text)
        elif isinstance(event, TextEvent):
            yield from self._write(event.text)
        elif isinstance(event, ToolPieceEvent):
            yield from self._use(event)
        elif isinstance(event, DoneEvent):
            yield from self._stop(event)

    def _start(self, event: Event) -> Iterator[StreamEvent]:
        if self._started:
            return
        self._started = True
        usage = Usage()
        if isinstance(event, PromptEvent):
            usage = _usage(event.tokens, event.cached, 0)
        ident = f"msg_{new_token(12)}"
        yield MessageStart(Message(id=ident, model=self._manner.model, usage=usage))

    def _think(self, text: str) -> Iterator[StreamEvent]:
        if not isinstance(self._open, ThinkingBlock):
            yield from self._begin(ThinkingBlock(""))
        self._thought.update(text.encode())
        if text and self._manner.thinking_text:
            yield BlockDelta(self._index, ThinkingDelta(text))

    def _write(self, text: str) -> Iterator[StreamEvent]:
        """White space between other blocks is no text: it waits for some."""
        if not isinstance(self._open, TextBlock):
            text = self._space + text
            self._space = "" if text.strip() else text
            if not text.strip():
                return
            yield from self._begin(TextBlock(""))
        if text:
            yield BlockDelta(self._index, TextDelta(text))

    def _use(self, piece: ToolPieceEvent) -> Iterator[StreamEvent]:
        if piece.index != self._call:
            self._call = piece.index
            ident = piece.id or f"toolu_{new_token(12)}"
            yield from self._begin(ToolUseBlock(ident, piece.name))
        if piece.arguments:
            yield BlockDelta(self._index, InputJSONDelta(piece.arguments))

    def _begin(self, block: OutputBlock) -> Iterator[StreamEvent]:
        yield from self._end()
        self._space = ""
        self._index += 1
        self._open = block
        yield BlockStart(self._index, block)

    def _end(self) -> Iterator[StreamEvent]:
        if self._open is None:
            return
        if isinstance(self._open, ThinkingBlock):
            # Clients send thinking back only where it has a signature.
            signature, self._thought = self._thought.hexdigest(), hashlib.sha256()
            yield BlockDelta(self._index, SignatureDelta(signature))
        self._open = None
        yield BlockStop(self._index)

    def _stop(self, done: DoneEvent) -> Iterator[StreamEvent]:
        yield from self._end()
        timings = done.timings
        yield MessageDelta(
            self._reason(done),
            _usage(timings.prompt_eval_count, timings.prompt_cached_count, timings.eval_count),
        )
        yield MessageStop()

    def _reason(self, done: DoneEvent) -> Stop:
        if done.reason == "length":
            return Stop("max_tokens")
        if done.stop_word in self._manner.stops:
            return Stop("stop_sequence", done.stop_word)
        return Stop("tool_use" if self._call >= 0 else "end_turn")


def whole(events: Iterable[StreamEvent]) -> Message:
    """The message that all stream events tell together. Raises EngineError on a broken call."""
    message = Message(id="", model="")
    blocks: list[OutputBlock] = []
    inputs: dict[int, str] = {}
    for event in events:
        if isinstance(event, MessageStart):
            message = event.message
        elif isinstance(event, BlockStart):
            blocks.append(event.content_block)
        elif isinstance(event, BlockDelta):
            delta = event.delta
            if isinstance(delta, InputJSONDelta):
                inputs[event.index] = inputs.get(event.index, "") + delta.partial_json
            else:
                blocks[event.index] = _longer(blocks[event.index], delta)
        elif isinstance(event, MessageDelta):
            message = structs.replace(message, usage=event.usage, **structs.asdict(event.delta))
    cut = message.stop_reason == "max_tokens"
    content = [_filled(block, inputs.get(i, ""), cut) for i, block in enumerate(blocks)]
    return structs.replace(message, content=tuple(block for block in content if block))


def _longer(block: OutputBlock, delta: TextDelta | ThinkingDelta | SignatureDelta) -> OutputBlock:
    """A block with one delta more, in which every delta names the field it belongs to."""
    fields = structs.asdict(delta)
    return structs.replace(block, **{k: getattr(block, k) + v for k, v in fields.items()})


def _filled(block: OutputBlock, text: str, cut: bool) -> OutputBlock | None:
    """A block with its input; None for a call that max_tokens cut short."""
    if not isinstance(block, ToolUseBlock):
        return block
    try:
        value: Json = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        if cut:
            return None
        raise EngineError(f"the model called {block.name!r} with input that is no JSON") from error
    return structs.replace(block, input=value if isinstance(value, dict) else {"value": value})


def _usage(prompt: int, cached: int, output: int) -> Usage:
    """The cache holds what earlier requests left; nobody is charged for putting it there."""
    return Usage(input_tokens=prompt - cached, cache_read_input_tokens=cached, output_tokens=output)

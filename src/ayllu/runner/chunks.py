"""The steps of an answer, as the engine's two streaming routes tell them. Pure.

Source: llama.cpp tools/server/README.md, "POST /completion" and "POST /v1/chat/completions".
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct, field

from ayllu.types import TokenLogprob


class EngineTimings(Struct, frozen=True):
    """The engine's own account of a request: counts in tokens, times in milliseconds."""

    cache_n: int = 0
    prompt_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0
    draft_n: int = 0
    draft_n_accepted: int = 0


class ToolDelta(Struct, frozen=True):
    """A piece of a tool call; `arguments` is JSON text to be joined with that of its `index`."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Progress(Struct, frozen=True):
    """How far the engine is with a prompt of `total` tokens, `cache` of which it had already."""

    total: int = 0
    cache: int = 0


class Chunk(Struct, frozen=True, omit_defaults=True):
    """One step of an answer. `finish` is empty until the last, which carries `timings`.

    While the prompt is read, chunks have nothing but `progress`. `hidden` counts the tokens before
    this one that the engine did not name: the first bytes of a character that this one ends.
    """

    text: str = ""
    thinking: str = ""
    tools: tuple[ToolDelta, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    tokens: tuple[int, ...] = ()
    hidden: int = 0
    finish: str = ""
    stop_word: str = ""
    timings: EngineTimings | None = None
    progress: Progress | None = None


class _Logprob(Struct, frozen=True):
    token: str = ""
    logprob: float | None = 0.0
    bytes: tuple[int, ...] | None = ()
    top_logprobs: tuple[_Logprob, ...] = ()

    def public(self) -> TokenLogprob:
        top = tuple(item.public() for item in self.top_logprobs)
        # JSON has no minus infinity: llama-server writes null, we the lowest float32.
        value = -3.4028235e38 if self.logprob is None else self.logprob
        return TokenLogprob(self.token, value, tuple(self.bytes or ()), top)


class _CompletionLine(Struct, frozen=True):
    prompt_progress: Progress | None = None
    content: str = ""
    tokens: tuple[int, ...] = ()
    tokens_predicted: int = 0
    stop: bool = False
    stop_type: str = ""
    stopping_word: str = ""
    completion_probabilities: tuple[_Logprob, ...] = ()
    timings: EngineTimings | None = None


class _Function(Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(Struct, frozen=True):
    index: int = 0
    id: str | None = None
    function: _Function = _Function()


class _Delta(Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[_ToolCall, ...] = ()


class _Logprobs(Struct, frozen=True):
    content: tuple[_Logprob, ...] | None = None


class _Choice(Struct, frozen=True):
    delta: _Delta = _Delta()
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Verbose(Struct, frozen=True):
    stopping_word: str = ""


class _ChatLine(Struct, frozen=True):
    choices: tuple[_Choice, ...] = ()
    prompt_progress: Progress | None = None
    verbose: _Verbose = field(name="__verbose", default=_Verbose())
    timings: EngineTimings | None = None


_completion_line = msgspec.json.Decoder(_CompletionLine)
_chat_line = msgspec.json.Decoder(_ChatLine)
_FINISH = {"limit": "length", "word": "stop", "eos": "stop"}


class CompletionReader:
    """Reads the lines of one answer of /completion. `finished` says that the last one came."""

    def __init__(self) -> None:
        self.finished = False
        self._told = 0

    def read(self, data: bytes) -> Chunk:
        """The chunk that a line is."""
        line = _completion_line.decode(data)
        if line.prompt_progress is not None:
            return Chunk(progress=line.prompt_progress)  # a sign of life, with a token that is none
        self.finished |= line.stop
        # What ends within a character is not told until that is whole, and then as one token.
        hidden = max(line.tokens_predicted - self._told - 1, 0)
        self._told = line.tokens_predicted
        return Chunk(
            text=line.content,
            logprobs=tuple(item.public() for item in line.completion_probabilities),
            tokens=line.tokens,
            hidden=hidden,
            finish=_FINISH.get(line.stop_type, "stop") if line.stop else "",
            stop_word=line.stopping_word,
            timings=line.timings,
        )


def read_chat(data: bytes) -> Iterator[Chunk]:
    """The chunks of a line of /v1/chat/completions."""
    line = _chat_line.decode(data)
    return (_chat_chunk(choice, line) for choice in line.choices)


def _chat_chunk(choice: _Choice, line: _ChatLine) -> Chunk:
    delta = choice.delta
    probabilities = (choice.logprobs.content if choice.logprobs else None) or ()
    return Chunk(
        text=delta.content or "",
        thinking=delta.reasoning_content or "",
        tools=tuple(
            ToolDelta(
                call.index, call.id or "", call.function.name or "", call.function.arguments or ""
            )
            for call in delta.tool_calls
        ),
        logprobs=tuple(item.public() for item in probabilities),
        finish=choice.finish_reason or "",
        stop_word=line.verbose.stopping_word,
        timings=line.timings,
        progress=line.prompt_progress,
    )

"""A model reads a text, in a child of its own: for its perplexity, or for an importance matrix.

The text is cut into chunks, each as long as the context. Source of the program's words: llama.cpp
tools/imatrix/imatrix.cpp.
"""

from __future__ import annotations

import math
import os
import re
import select
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from ayllu.errors import AylluError, BadRequestError, EngineError
from ayllu.gguf import arch
from ayllu.gguf.read import Header
from ayllu.gguf.tool import UNKNOWN_ARCHITECTURE, Reason, Step, explain, running

CONTEXT = 512
"""Tokens of a chunk, unless told otherwise: published perplexities are of chunks this long."""

LEAST_CONTEXT = 8
LARGEST_CONTEXT = 1 << 20
NEVER = (1 << 31) - 1
LARGEST_BATCH = 2048
"""Tokens that are computed at a time; each has a probability for every word of the vocabulary."""

TRIES = 5
"""A program that fails may take its reason with it, for it does not wait for its log's writer
(llama.cpp common/log.cpp, `common_log_main`). At its start it may fail again."""

_WORDS = re.compile(
    rb"over (?P<total>\d+) chunks|\[(?P<done>\d+)\][-+.\w]+,"
    rb"|Final estimate: PPL = (?P<value>\S+) \+/- (?P<error>\S+)\r?\n"
)


class Perplexity(Struct, frozen=True):
    """How surprised a model was by a text: 1 is not at all. `error` is the standard error.

    `tokens` were read in all; the second half of each chunk counts, as is usual.
    """

    value: float
    error: float
    tokens: int


def choose_context(header: Header, asked: int = 0) -> int:
    """Tokens of a chunk; `asked` is 0 where nobody says.

    Raises BadRequestError for a model that writes no text, or was trained for less.
    """
    if "completion" not in arch.capabilities(header):
        raise BadRequestError("the model writes no text: only models that do have a perplexity")
    return within_context(header, asked, CONTEXT)


def within_context(header: Header, asked: int, usual: int) -> int:
    """The context that is asked for, 0 for the usual one, or less where the model has less.

    Raises BadRequestError where the model was made for less than is asked for.
    """
    trained = arch.context_length(header)
    if trained and asked > trained:
        raise BadRequestError(
            f"a context of {asked} tokens is longer than the {trained} that the model was made for"
        )
    return asked or min(usual, trained or usual)


def memory_needed(header: Header, context: int) -> int:
    """Bytes, about: weights, KV cache, and a batch's probabilities for the whole vocabulary."""
    batch = min(context, LARGEST_BATCH)
    tokens = header.kvs.get("tokenizer.ggml.tokens")
    words = len(tokens) if tokens is not None else 0
    return header.file_size + arch.kv_bytes(header, context) + 2 * 4 * words * batch


async def perplexity(
    program: Path, model: Path, text: Path, *, context: int, chunks: int
) -> AsyncGenerator[Step | Perplexity]:
    """Measure a model on a text with llama-imatrix: steps are chunks, the result comes last.

    The numbers are llama-perplexity's. But that ends before it has said them all, now and then;
    this one can be held up at its end, where it writes a matrix that nobody wants. Closing the
    generator ends the child. Raises BadRequestError for a text that is too short, EngineError with
    the reason otherwise.
    """
    total, found = 0, None
    with _full_pipe() as pipe:
        arguments = _arguments(model, text, Path(f"/dev/fd/{pipe}"), context, chunks)
        work = _run(program, arguments, text.parent, "measuring", context, files=[pipe])
        async with aclosing(work) as items:
            async for item in items:
                if isinstance(item, Step):
                    total = item.total
                    yield item
                else:
                    found = item
                    break
    if found is None:
        raise EngineError("the engine does not say what it measured")
    if not all(map(math.isfinite, found)):
        raise BadRequestError("the perplexity is no number: the model is damaged")
    yield Perplexity(*found, tokens=total * context)


@contextmanager
def _full_pipe() -> Iterator[int]:
    """The writing end of a pipe that takes nothing: whoever writes to it waits."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, bytes(select.PIPE_BUF))
        os.set_blocking(writing, True)
        yield writing
    finally:
        os.close(reading)
        os.close(writing)


async def importance(
    program: Path, model: Path, text: Path, target: Path, *, context: int, chunks: int
) -> AsyncGenerator[Step]:
    """Write an importance matrix with llama-imatrix: steps are chunks. Ends and fails likewise.

    The last words of a program that succeeds may be lost (`TRIES`): its last step is told anyway.
    """
    arguments = _arguments(model, text, target, context, chunks)
    doing = "computing the importance matrix"
    step = Step(0, 0)
    async with aclosing(_run(program, arguments, text.parent, doing, context)) as items:
        async for item in items:
            if isinstance(item, Step):
                step = item
                yield step
    if step.completed < step.total:
        yield Step(step.total, step.total)


def _arguments(model: Path, text: Path, target: Path, context: int, chunks: int) -> list[str]:
    """What the program takes; a text is read as it is, backslashes too.

    The engine writes the text's path into a matrix: it runs beside it, and gets its name.
    """
    batch = str(min(context, LARGEST_BATCH))
    return [
        *("--model", str(model.absolute()), "--file", text.name, "--no-escape", "--offline"),
        *("--output-file", str(target.absolute())),
        *("--ctx-size", str(context), "--batch-size", batch, "--chunks", str(chunks)),
        # Once at the end is enough; a matrix would be written every ten chunks.
        *("--output-frequency", str(NEVER)),
    ]


async def _run(
    program: Path,
    arguments: Sequence[str],
    folder: Path,
    doing: str,
    context: int,
    files: Sequence[int] = (),
) -> AsyncGenerator[Step | tuple[float, float]]:
    """The chunks as they are done, and the perplexity with its error.

    Where a program fails at the start and does not say why, it runs again.
    """
    for attempt in range(1, TRIES + 1):
        total = done = 0
        async with running(program, arguments, folder=folder, files=files) as child:
            async with aclosing(child.matches(_WORDS)) as words:
                async for found in words:
                    if found["value"]:
                        yield float(found["value"]), float(found["error"])
                        continue
                    total, done = int(found["total"] or total), int(found["done"] or 0)
                    yield Step(done, total)
            code = await child.wait()
        for pattern, make in _REFUSALS:
            if refusal := re.search(pattern, child.log):
                raise make(context, *refusal.groups())
        if code == 0:
            return
        if why := explain(code, child.log, program=program, doing=doing, reasons=_REASONS):
            raise why
        if done or attempt == TRIES:
            raise EngineError(f"{doing} ended with code {code}")


def _too_short(context: int, tokens: str) -> AylluError:
    return BadRequestError(
        f"the text is too short: it has {tokens} tokens, and takes {2 * context} for a context of "
        f"{context}"
    )


def _too_few(_context: int) -> AylluError:
    return BadRequestError("the text is too short to measure a model on")


_REFUSALS: tuple[tuple[str, Callable[..., AylluError]], ...] = (
    (r"tokenizes to only (\d+) tokens", _too_short),
    (r"negative standard deviation", _too_few),
)
"""What a text is refused for."""


def _not_loaded(reason: str) -> AylluError:
    return EngineError(f"the engine cannot load this model: {reason.strip()}")


_REASONS: tuple[Reason, ...] = (
    UNKNOWN_ARCHITECTURE,
    (r"error loading model: ([^\n]+)", _not_loaded),
)

"""How well a model predicts given tokens, and what it would say in their places.

A child of its own does it (`score_child.py`), with the engine's library. Whoever calls has seen
that there is memory for the model.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Struct

from ayllu.errors import AylluError, EngineError, UnsupportedError
from ayllu.gguf.tool import UNKNOWN_ARCHITECTURE, Reason, Step, failure, running
from ayllu.system import temporary_prefix, usable_cores

_CHILD = Path(__file__).with_name("score_child.py")
ALL_LAYERS = 1 << 20


class Answer(Struct, frozen=True):
    """What the data has after a prompt, and what the model says there. `prompt` is its end."""

    prompt: str
    expected: str
    given: str


class Score(Struct, frozen=True):
    """An example's: `nll` is the sum of -log p, in nats, of its `count` trained tokens."""

    nll: float
    count: int
    answers: tuple[Answer, ...]


class Plan(Struct, frozen=True, kw_only=True):
    """What the child is to do.

    `examples` is a file of trainer.spec's; `which` of them are read, the first `answers` of these
    answered too, in at most `longest` tokens each. `context` is what the longest takes, answer
    included.
    """

    model: str
    adapters: tuple[tuple[str, float], ...]
    examples: str
    which: tuple[int, ...]
    answers: int
    longest: int
    context: int
    gpu_layers: int
    threads: int
    out: str


async def score(  # noqa: PLR0913 - all of it is said to the child
    model: Path,
    adapters: Sequence[tuple[Path, float]],
    examples: Path,
    which: Sequence[int],
    *,
    answers: int,
    longest: int,
    context: int,
    gpus: int,
) -> AsyncGenerator[Step | tuple[Score, ...]]:
    """Have a model read some examples; steps are in tokens, the scores come last.

    The arguments are those of a Plan, their paths absolute. Closing the generator ends the child.
    Raises EngineError with the reason, UnsupportedError where the engine has no library for Python.
    """
    if find_spec("llama_cpp") is None:
        raise UnsupportedError("evaluating takes the engine's library: run `make setup`")
    with TemporaryDirectory(prefix=temporary_prefix()) as folder:
        plan = Plan(
            model=str(model),
            adapters=tuple((str(path), scale) for path, scale in adapters),
            examples=str(examples),
            which=tuple(which),
            answers=answers,
            longest=longest,
            context=context,
            gpu_layers=ALL_LAYERS if gpus else 0,
            threads=usable_cores(),
            out=str(Path(folder, "scores.jsonl")),
        )
        path = Path(folder, "plan.json")
        await asyncio.to_thread(path.write_bytes, msgspec.json.encode(plan))
        async with running(Path(sys.executable), ["-P", str(_CHILD), str(path)]) as child:
            async with aclosing(child.steps()) as steps:
                async for step in steps:
                    yield step
            if code := await child.wait():
                raise _failure(code, child.log)
        data = await asyncio.to_thread(Path(plan.out).read_bytes)
    yield tuple(msgspec.json.decode(line, type=Score) for line in data.splitlines())


def _failure(code: int, log: str) -> AylluError:
    reasons: tuple[Reason, ...] = (UNKNOWN_ARCHITECTURE, (r"(?m)^@refused (.+)$", EngineError))
    return failure(code, log, program=_CHILD, doing="evaluating", reasons=reasons)

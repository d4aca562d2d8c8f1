"""A prompt that asks for what stands between two texts, as token ids.

Not llama-server's /infill: that one adds names of a repository and a file to the prompt, and takes
no more of the texts than one batch, which is small here. The order of the tokens is the same.
"""

from __future__ import annotations

import asyncio

from msgspec import structs

from ayllu.chat.request import ChatRequest
from ayllu.errors import ContextExceededError
from ayllu.gguf.vocab import FillTokens
from ayllu.runner.client import RunnerClient

RESERVED = 4
"""A quarter of the context stays free for the answer, or what num_predict says if that is less."""


async def infill_tokens(
    client: RunnerClient,
    marks: FillTokens,
    request: ChatRequest,
    *,
    context: int,
    num_predict: int | None,
) -> tuple[int, ...]:
    """The prompt for filling in between the last message and the suffix.

    What does not fit the context beside the answer is left out, far from the gap. Raises
    ContextExceededError where that is not allowed.
    """
    begin, before, after = await asyncio.gather(
        begin_tokens(client),
        client.tokenize(request.messages[-1].content, special=False, parse_special=False),
        client.tokenize(request.suffix, special=False, parse_special=False),
    )
    start = () if request.context else tuple(begin)
    fixed = len(request.context) + len(start) + len(structs.astuple(marks))
    size = fixed + len(before) + len(after)
    if not request.truncate and size >= context:
        raise ContextExceededError(size, context)
    quarter = (context - len(request.context)) // RESERVED
    reserve = quarter if num_predict is None or num_predict < 0 else min(num_predict, quarter)
    before, after = cut_texts(before, after, max(context - fixed - reserve, 0))
    return (*start, marks.prefix, *before, marks.suffix, *after, marks.middle)


def cut_texts(before: list[int], after: list[int], room: int) -> tuple[list[int], list[int]]:
    """The end of one and the start of the other, of `room` tokens together.

    Three quarters are for the first where both are long, as in llama-server.
    """
    kept = min(len(after), max(room // 4, room - len(before)))
    taken = min(len(before), room - kept)
    return before[len(before) - taken :], after[:kept]


async def begin_tokens(client: RunnerClient) -> list[int]:
    """The begin token, where the model wants one: what comes before a letter's own tokens."""
    bare, whole = await asyncio.gather(
        client.tokenize("a", special=False), client.tokenize("a", special=True)
    )
    return [] if whole[: len(bare)] == bare else whole[:1]

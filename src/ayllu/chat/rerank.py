"""Documents in order of how well they answer a query: cut to the context, scored by the engine."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from msgspec import Struct

from ayllu.chat.attempts import persevere
from ayllu.chat.tokens import surely_fits
from ayllu.errors import BadRequestError, EngineError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.models.model import Model
from ayllu.models.name import short_name
from ayllu.runner.client import RunnerClient
from ayllu.runner.pool import Pool
from ayllu.types import Options

PORTION = 8
"""Documents that the engine gets at a time, so that its silence keeps meaning that it hangs."""

MARKS = 4
"""Tokens that stand around a query and a document at most: begin, end, separator, end."""


class Relevance(Struct, frozen=True):
    """A document's place in the request, and how likely it is relevant: from 0 to 1."""

    index: int
    score: float


class Ranking(Struct, frozen=True):
    """The documents, the most relevant first; durations in nanoseconds, `tokens` over all pairs."""

    results: list[Relevance]
    tokens: int
    total_duration: int
    load_duration: int


async def rank_texts(
    pool: Pool,
    model: Model,
    query: str,
    documents: Sequence[str],
    *,
    options: Options,
    keep_alive: float | None,
    truncate: bool,
) -> Ranking:
    """Put documents in order; none only loads the model.

    Raises BadRequestError when the model's file lacks what makes a score, when the query fills the
    context, and when a document is too long for it and `truncate` is off.
    """
    started = time.monotonic_ns()
    header = cached_header(model.path)
    if not arch.has_rank_head(header):
        raise BadRequestError(
            f"the file of {short_name(model.name)} lacks the classifier (cls.output.weight) that "
            "scores documents: convert the model again with llama.cpp's convert_hf_to_gguf.py"
        )
    template = header.kvs.get("tokenizer.chat_template.rerank")

    async def run() -> Ranking:
        async with pool.acquire(model, options, keep_alive=keep_alive, embedding=True) as lease:
            if not documents:
                return Ranking([], 0, 0, 0)
            pair = _Pair(
                client=lease.client,
                query=query,
                template=template if isinstance(template, str) else None,
                limit=min(lease.context - 1, lease.runner.load.batch),
            )
            texts = [
                await pair.fit(document, place, truncate=truncate)
                for place, document in enumerate(documents)
            ]
            logits, tokens = await _scores(lease.client, query, texts)
        places = sorted(range(len(logits)), key=lambda place: -logits[place])
        given = arch.ranks_by_probability(header)
        return Ranking(
            results=[
                Relevance(place, logits[place] if given else _probability(logits[place]))
                for place in places
            ],
            tokens=tokens,
            total_duration=time.monotonic_ns() - started,
            load_duration=lease.load_duration,
        )

    return await persevere(run)


class _Pair(Struct, frozen=True):
    """A query and the documents that it is joined with, one at a time, in at most `limit` tokens.

    `template` is the model's own, where it has one. Source: llama.cpp tools/server/
    server-common.cpp, `format_prompt_rerank`.
    """

    client: RunnerClient
    query: str
    template: str | None
    limit: int

    async def fit(self, document: str, place: int, *, truncate: bool) -> str:
        """As much of the beginning of a document as there is room for."""
        if surely_fits(self._prompt(document), self.limit - MARKS - 1):  # a space before each
            return document
        if (size := await self._size(document)) <= self.limit:
            return document
        if not truncate:
            raise BadRequestError(
                f"documents[{place}] and the query have {size} tokens together, and this model "
                f"reads {self.limit}: shorten them, or leave truncate on"
            )
        if await self._size("") > self.limit:
            raise BadRequestError(
                f"the query leaves no room for documents in the {self.limit} tokens that this "
                "model reads: shorten it"
            )
        short, long = 0, len(document)
        while long - short > 1:
            middle = (short + long) // 2
            if await self._size(document[:middle]) <= self.limit:
                short = middle
            else:
                long = middle
        return document[:short]

    async def _size(self, document: str) -> int:
        """Tokens of the pair."""
        if self.template is not None:
            prompt = self._prompt(document)
            return len(await self.client.tokenize(prompt, special=False))
        sizes = [
            len(await self.client.tokenize(text, special=False, parse_special=False))
            for text in (self.query, document)
        ]
        return sum(sizes) + MARKS

    def _prompt(self, document: str) -> str:
        if self.template is None:
            return self.query + document
        return self.template.replace("{query}", self.query).replace("{document}", document)


async def _scores(
    client: RunnerClient, query: str, documents: Sequence[str]
) -> tuple[list[float], int]:
    """The score of each document as the engine gives it, and the tokens that it read."""
    scores: list[float] = []
    tokens = 0
    for start in range(0, len(documents), PORTION):
        ranked = await client.rank(query, documents[start : start + PORTION])
        scores += [_number(row.relevance_score) for row in ranked.results]
        tokens += ranked.usage.prompt_tokens
    return scores, tokens


def _number(score: float | None) -> float:
    if score is None or not math.isfinite(score):
        raise EngineError("the model gave a score that is not a number")
    return score


def _probability(logit: float) -> float:
    """The logistic function, without overflow."""
    part = math.exp(-abs(logit))
    return 1 / (1 + part) if logit >= 0 else part / (1 + part)

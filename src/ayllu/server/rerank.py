"""Documents in order of their relevance: /api/rerank, and /v1/rerank as Jina and Cohere have it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from ayllu.chat.rerank import Ranking, rank_texts
from ayllu.errors import BadRequestError
from ayllu.server import wire_ollama, wire_openai
from ayllu.server.ollama_fields import read_keep_alive
from ayllu.server.state import model_of, options_of, read_body, require, required, state_of
from ayllu.server.stream import json_response, until_left
from ayllu.server.wire_ollama import RerankDocument, RerankResult
from ayllu.types import Json


async def rerank(request: Request) -> Response:
    """POST /api/rerank: put documents in order of their relevance to a query."""
    body = await read_body(request, wire_ollama.RerankRequest)
    documents = read_documents(body.documents)
    ranking = await _rank(request, body, documents)
    return json_response(
        wire_ollama.RerankResponse(
            model=body.model,
            results=_rows(body, documents, ranking),
            total_duration=ranking.total_duration,
            load_duration=ranking.load_duration,
            prompt_eval_count=ranking.tokens,
        )
    )


async def rerank_as_jina(request: Request) -> Response:
    """POST /v1/rerank: put documents in order of their relevance, in Jina's form."""
    body = await read_body(request, wire_openai.RerankRequest)
    documents = read_documents(body.documents)
    if not documents:
        raise BadRequestError("documents has no document")
    ranking = await _rank(request, body, documents)
    return json_response(
        wire_openai.RerankResponse(
            model=body.model,
            results=_rows(body, documents, ranking),
            usage=wire_openai.InputUsage(ranking.tokens, ranking.tokens),
        )
    )


def read_documents(value: Json) -> list[str]:
    """The texts of documents, each a text or an object with one. Raises BadRequestError."""
    if not isinstance(value, list | None):
        raise BadRequestError("documents is not a list")
    texts: list[str] = []
    for place, item in enumerate(value or ()):
        text = item.get("text") if isinstance(item, dict) else item
        if not isinstance(text, str):
            raise BadRequestError(
                f'documents[{place}] is neither a text nor an object like {{"text": "..."}}'
            )
        texts.append(text)
    return texts


async def _rank(
    request: Request,
    body: wire_ollama.RerankRequest | wire_openai.RerankRequest,
    documents: Sequence[str],
) -> Ranking:
    model = await model_of(request, required(body.model), stays=False)
    require(
        model,
        "rerank",
        f'"{body.model}" does not support rerank: only a reranker scores documents for a query',
    )
    if documents and not body.query:
        raise BadRequestError("query is required")
    work = rank_texts(
        state_of(request).pool,
        model,
        body.query,
        documents,
        options=options_of(model, body.options),
        keep_alive=read_keep_alive(body.keep_alive),
        truncate=body.truncate,
    )
    return await until_left(request, work)


def _rows(
    body: wire_ollama.RerankRequest | wire_openai.RerankRequest,
    documents: Sequence[str],
    ranking: Ranking,
) -> list[RerankResult]:
    """The documents that were asked for, the most relevant first."""
    return [
        RerankResult(
            index=found.index,
            relevance_score=found.score,
            document=RerankDocument(documents[found.index]) if body.return_documents else None,
        )
        for found in ranking.results[: body.top_n]
    ]

"""The table of all routes, each with what it takes and gives, and the routes of no dialect."""

from __future__ import annotations

import asyncio
from functools import cache

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ayllu import __version__
from ayllu.cluster.view import ClusterView
from ayllu.cluster.view import Event as ClusterEvent
from ayllu.cluster.view import Node as ClusterNode
from ayllu.deploy.worker_request import WorkerLine, WorkerRequest
from ayllu.models.create import Progress
from ayllu.models.describe import ShowResponse
from ayllu.server import (
    anthropic,
    cloud,
    cluster,
    contribute,
    deployments,
    joining,
    members,
    models,
    ollama,
    openai,
    plan,
    quantize,
    registry,
    rerank,
    responses,
    tokens,
    tune,
    tune_evaluate,
    wire_anthropic,
    wire_joining,
    wire_ollama,
    wire_openai,
    wire_quantize,
    wire_registry,
    wire_response_events,
    wire_responses,
    wire_tune_evaluate,
    workers,
)
from ayllu.server.openapi import Endpoint, FreeEndpoint, PeerEndpoint, document
from ayllu.server.stream import NDJSON, SSE
from ayllu.server.wire import encode
from ayllu.tune.lending import HelpRequest

OLLAMA = "0.22.0"
"""The version of Ollama that we pass for: clients (Codex is one) turn away what looks older."""


async def root(_: Request) -> Response:
    """GET /: say that there is a server, in the words that clients look for."""
    return PlainTextResponse("Ollama is running")


async def version(_: Request) -> Response:
    """GET /api/version: tell the version of Ollama that this passes for, and Ayllu's own."""
    body = encode(wire_ollama.VersionResponse(version=OLLAMA, ayllu=__version__))
    return Response(body, media_type="application/json; charset=utf-8")


async def openapi(_: Request) -> Response:
    """GET /openapi.json: this document."""
    return Response(await asyncio.to_thread(_document), media_type="application/json")


@cache
def _document() -> bytes:
    """Made when it is first asked for, so that the server's start need not wait."""
    return encode(document(ROUTES))


ROUTES = [
    Endpoint("GET /", root, gives=str),
    Endpoint("GET /openapi.json", openapi, gives=dict),
    FreeEndpoint("GET /api/version", version, gives=wire_ollama.VersionResponse),
    PeerEndpoint(
        "POST /api/generate",
        ollama.generate,
        takes=wire_ollama.GenerateRequest,
        gives=wire_ollama.GenerateLine,
        streams=(NDJSON, wire_ollama.GenerateLine),
    ),
    PeerEndpoint(
        "POST /api/chat",
        ollama.chat,
        takes=wire_ollama.ChatRequest,
        gives=wire_ollama.ChatLine,
        streams=(NDJSON, wire_ollama.ChatLine),
    ),
    PeerEndpoint(
        "POST /api/embed",
        ollama.embed,
        takes=wire_ollama.EmbedRequest,
        gives=wire_ollama.EmbedResponse,
    ),
    PeerEndpoint(
        "POST /api/embeddings",
        ollama.embeddings,
        takes=wire_ollama.EmbeddingsRequest,
        gives=wire_ollama.EmbeddingsResponse,
    ),
    PeerEndpoint(
        "POST /api/rerank",
        rerank.rerank,
        takes=wire_ollama.RerankRequest,
        gives=wire_ollama.RerankResponse,
    ),
    PeerEndpoint(
        "POST /api/tokenize",
        tokens.tokenize,
        takes=wire_ollama.TokenizeRequest,
        gives=wire_ollama.TokenizeResponse,
    ),
    PeerEndpoint(
        "POST /api/detokenize",
        tokens.detokenize,
        takes=wire_ollama.DetokenizeRequest,
        gives=wire_ollama.DetokenizeResponse,
    ),
    FreeEndpoint("GET /api/tags", models.tags, gives=wire_ollama.TagsResponse),
    FreeEndpoint("GET /api/ps", models.loaded, gives=wire_ollama.LoadedResponse),
    FreeEndpoint("POST /api/show", models.show, takes=wire_ollama.ShowRequest, gives=ShowResponse),
    Endpoint(
        "POST /api/create",
        models.create,
        takes=wire_ollama.CreateRequest,
        gives=Progress,
        streams=(NDJSON, Progress),
    ),
    PeerEndpoint(
        "POST /api/pull",
        models.pull,
        takes=wire_ollama.PullRequest,
        gives=Progress,
        streams=(NDJSON, Progress),
    ),
    Endpoint(
        "POST /api/push",
        models.push,
        takes=wire_ollama.TransferRequest,
        gives=Progress,
        streams=(NDJSON, Progress),
    ),
    Endpoint("POST /api/copy", models.copy, takes=wire_ollama.CopyRequest),
    Endpoint("DELETE /api/delete", models.delete, takes=wire_ollama.NameRequest),
    PeerEndpoint("HEAD /api/blobs/{digest}", models.has_blob),
    PeerEndpoint(
        "POST /api/perplexity",
        quantize.measure,
        takes=wire_quantize.PerplexityRequest,
        gives=wire_quantize.PerplexityLine,
        streams=(NDJSON, wire_quantize.PerplexityLine),
    ),
    Endpoint(
        "POST /api/tune/evaluate",
        tune_evaluate.evaluate,
        takes=wire_tune_evaluate.EvaluateRequest,
        gives=wire_tune_evaluate.EvaluateLine,
        streams=(NDJSON, wire_tune_evaluate.EvaluateLine),
    ),
    PeerEndpoint(
        "POST /api/quantizations",
        quantize.plan,
        takes=wire_quantize.QuantizationsRequest,
        gives=wire_quantize.QuantizationsResponse,
    ),
    Endpoint("GET /api/cluster", cluster.show, gives=ClusterView),
    Endpoint(
        "GET /api/cluster/events",
        cluster.events,
        streams=(cluster.FRAMING, ClusterEvent),
    ),
    Endpoint("GET /api/cluster/doctor", cluster.diagnose, gives=cluster.Diagnosis),
    Endpoint(
        "POST /api/cluster/measure",
        cluster.measure,
        takes=cluster.MeasureRequest,
        gives=ClusterNode,
    ),
    Endpoint("GET /api/cluster/models", members.models, gives=wire_joining.AylluModels),
    Endpoint(
        "POST /api/cluster/pull",
        members.pull,
        takes=wire_joining.PullOnRequest,
        gives=wire_joining.PullOnLine,
        streams=(NDJSON, wire_joining.PullOnLine),
    ),
    *joining.ROUTES,
    *contribute.ROUTES,
    *deployments.ROUTES,
    *plan.ROUTES,
    *tune.ROUTES,
    PeerEndpoint(
        "POST /api/cluster/workers",
        workers.hold,
        takes=WorkerRequest,
        streams=(NDJSON, WorkerLine),
    ),
    PeerEndpoint(
        "POST /api/cluster/helpers",
        workers.assist,
        takes=HelpRequest,
        streams=(NDJSON, WorkerLine),
    ),
    Endpoint("GET /api/status", cloud.status, gives=wire_ollama.StatusResponse),
    Endpoint("POST /api/me", cloud.refuse_account, statuses=()),
    Endpoint("POST /api/signout", cloud.refuse_account, statuses=()),
    PeerEndpoint(
        "POST /api/blobs/{digest}",
        models.receive_blob,
        takes=bytes,
        statuses=(200, 201),
    ),
    PeerEndpoint(
        "POST /v1/chat/completions",
        openai.chat,
        takes=wire_openai.ChatRequest,
        gives=wire_openai.Reply[wire_openai.ChatChoice],
        streams=(SSE, wire_openai.Reply[wire_openai.ChunkChoice]),
    ),
    PeerEndpoint(
        "POST /v1/completions",
        openai.completions,
        takes=wire_openai.CompletionRequest,
        gives=wire_openai.Reply[wire_openai.TextChoice],
        streams=(SSE, wire_openai.Reply[wire_openai.TextChoice]),
    ),
    PeerEndpoint(
        "POST /v1/embeddings",
        openai.embeddings,
        takes=wire_openai.EmbeddingsRequest,
        gives=wire_openai.EmbeddingsResponse,
    ),
    PeerEndpoint(
        "POST /v1/rerank",
        rerank.rerank_as_jina,
        takes=wire_openai.RerankRequest,
        gives=wire_openai.RerankResponse,
    ),
    FreeEndpoint("GET /v1/models", openai.models, gives=wire_openai.ModelList),
    FreeEndpoint("GET /v1/models/{model:path}", openai.model, gives=wire_openai.ModelRow),
    PeerEndpoint(
        "POST /v1/responses",
        responses.create,
        takes=wire_responses.ResponsesRequest,
        gives=wire_responses.Response,
        streams=(responses.framing(), wire_response_events.AnyEvent),
    ),
    PeerEndpoint(
        "POST /v1/responses/input_tokens",
        responses.count_tokens,
        takes=wire_responses.ResponsesRequest,
        gives=wire_responses.InputTokens,
    ),
    Endpoint(
        "GET /v1/responses/{response}",
        responses.retrieve,
        query=wire_responses.RetrieveQuery,
        gives=wire_responses.Response,
    ),
    Endpoint("DELETE /v1/responses/{response}", responses.delete, gives=wire_responses.Deleted),
    Endpoint(
        "GET /v1/responses/{response}/input_items",
        responses.input_items,
        query=wire_responses.ItemsQuery,
        gives=wire_responses.ItemList,
    ),
    Endpoint("POST /v1/responses/{response}/cancel", responses.cancel, statuses=()),
    *(
        Endpoint(f"{method} {path}", openai.not_here, statuses=())
        for path in ("/v1/audio/{rest:path}", "/v1/images/{rest:path}")
        for method in ("GET", "POST")
    ),
    PeerEndpoint(
        "POST /v1/messages",
        anthropic.messages,
        takes=wire_anthropic.MessagesRequest,
        gives=wire_anthropic.Message,
        streams=(anthropic.FRAMING, wire_anthropic.StreamEvent),
    ),
    PeerEndpoint(
        "POST /v1/messages/count_tokens",
        anthropic.count_tokens,
        takes=wire_anthropic.CountRequest,
        gives=wire_anthropic.TokenCount,
    ),
    Endpoint("GET /v2/", registry.base, gives=wire_registry.Base),
    Endpoint(
        "GET /v2/_catalog",
        registry.catalog,
        query=wire_registry.Page,
        gives=wire_registry.Catalog,
    ),
    Endpoint(
        "GET /v2/{repository:path}/tags/list",
        registry.tags,
        query=wire_registry.Page,
        gives=wire_registry.Tags,
    ),
    Endpoint("GET /v2/{repository:path}/manifests/{reference}", registry.manifest, gives=dict),
    Endpoint(
        "GET /v2/{repository:path}/blobs/{digest}",
        registry.blob,
        gives=bytes,
        statuses=(200, 206),
    ),
    *(
        Endpoint(f"{method} /v2/{{rest:path}}", registry.refuse, statuses=())
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    ),
]
"""Every route; docs/api.md describes them, docs/compat.md their fields."""

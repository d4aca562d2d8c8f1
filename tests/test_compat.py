"""docs/compat.md has every field that we read or send, and every field that real clients can send.

A field that a client's new version brings, or a struct of ours, fails here until the page has it.
"""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_count_tokens_params as beta_count_params
from anthropic.types.beta import message_create_params as beta_create_params
from compat_page import STATUSES, Row, read_page, title
from field_trees import Tree
from msgspec import Struct
from ollama import _types as ollama_types
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import (
    input_item_list_params,
    input_token_count_params,
    response_create_params,
    response_retrieve_params,
)

from ayllu.server.errors import DIALECTS
from ayllu.server.openapi import Endpoint
from ayllu.server.routes import ROUTES
from ayllu.types import Options

PAGE = read_page()


# What Ollama's server reads besides, which its Python client does not send (its api/types.go).
class Debugging(TypedDict):
    _debug_render_only: bool


class Shown(TypedDict):
    template: str
    options: dict[str, Any]


class Created(TypedDict):
    info: dict[str, Any]


CLIENTS: dict[str, tuple[Any, ...]] = {
    "POST /api/generate": (ollama_types.GenerateRequest, Debugging),
    "POST /api/chat": (ollama_types.ChatRequest, Debugging),
    "POST /api/embed": (ollama_types.EmbedRequest,),
    "POST /api/embeddings": (ollama_types.EmbeddingsRequest,),
    "POST /api/show": (ollama_types.ShowRequest, Shown),
    "POST /api/create": (ollama_types.CreateRequest, Created),
    "POST /api/pull": (ollama_types.PullRequest,),
    "POST /api/push": (ollama_types.PushRequest,),
    "POST /api/copy": (ollama_types.CopyRequest,),
    "DELETE /api/delete": (ollama_types.DeleteRequest,),
    "POST /v1/chat/completions": (chat_create_params.CompletionCreateParams,),
    "POST /v1/completions": (completion_create_params.CompletionCreateParams,),
    "POST /v1/embeddings": (embedding_create_params.EmbeddingCreateParams,),
    "POST /v1/responses": (response_create_params.ResponseCreateParams,),
    "POST /v1/responses/input_tokens": (input_token_count_params.InputTokenCountParams,),
    "GET /v1/responses/:response": (response_retrieve_params.ResponseRetrieveParams,),
    "GET /v1/responses/:response/input_items": (input_item_list_params.InputItemListParams,),
    "POST /v1/messages": (
        message_create_params.MessageCreateParams,
        beta_create_params.MessageCreateParams,
    ),
    "POST /v1/messages/count_tokens": (
        message_count_tokens_params.MessageCountTokensParams,
        beta_count_params.MessageCountTokensParams,
    ),
}
"""What the Python clients can send on each route."""

OURS = {
    "POST /api/cluster/measure": "ours",
    "PUT /api/cluster/contribute": "ours",
    "POST /api/perplexity": "ours",
    "POST /api/cluster/plan": "ours",
    "POST /api/quantizations": "ours",
    "POST /api/tune/evaluate": "ours",
    "POST /api/rerank": "ours",
    **{f"POST /api/tune{path}": "ours" for path in ("", "/:job/cancel", "/:job/resume")},
    **{
        f"POST /api/cluster/{name}": "ours"
        for name in (
            "pull",
            "up",
            "invite",
            "join",
            "pair",
            "pair/confirm",
            "revoke",
            "leave",
            "deployments",
            "workers",
            "helpers",
        )
    },
    "POST /api/tokenize": "ours",
    "POST /api/detokenize": "ours",
    "GET /v2/_catalog": "Docker's, whose clients are no Python ones",
    "GET /v2/:repository/tags/list": "the same",
    "POST /v1/rerank": "Jina's and Cohere's, whose clients are none of ours",
}
"""Routes whose requests no client has a type for, and why."""


def kinds(route: Endpoint) -> tuple[list[Any], list[Any]]:
    """The structs of the request and of the answer."""
    given = [route.gives, *(route.streams or ())[1:]]
    return (
        [kind for kind in (route.takes, route.query) if kind not in (None, bytes)],
        [kind for kind in given if kind not in (None, str, bytes, dict)],
    )


class Walk:
    """Goes through the fields and the page's tables together; `wrong` is what does not fit."""

    def __init__(self, tables: dict[str, dict[str, Row]]) -> None:
        self.tables = tables
        self.wrong: list[str] = []
        self.reached: set[tuple[str, str]] = set()
        self._seen: set[Any] = set()

    def go(
        self, ours: Tree, theirs: Tree, where: str, prefix: str = "", free: bool = False
    ) -> None:
        """`free` says that ours is read by hand, so that no struct has its fields."""
        mark = (where, prefix, *map(str, (*ours.records, *theirs.records)))
        if mark in self._seen:
            return
        self._seen.add(mark)
        tags = ours.tags | theirs.tags
        dead = {tag for tag in tags if not self._lives(where, prefix.removesuffix("."), tag)}
        mine = ours.fields(dead, tagged=bool(tags))
        for name, their in {**mine, **theirs.fields(dead, tagged=bool(tags))}.items():
            place, row = self._row(where, prefix + name)
            if row.status in {"honoured", "sent"}:
                if name not in mine and not free:
                    self.wrong.append(f"{where}: no struct has `{prefix}{name}`, which is honoured")
                my = mine.get(name, Tree())
                self.go(my, their, *self._inside(row, place, prefix + name), free or my.is_free)

    def _lives(self, where: str, key: str, tag: str) -> bool:
        named, any_other = f"{key}[{tag}]", f"{key}[*]"
        table = self.tables[where]
        if named not in table and any_other in table:
            named = any_other
        return self._row(where, named)[1].status in {"honoured", "sent"}

    def _row(self, where: str, key: str) -> tuple[str, Row]:
        """What the page says of a field, and in which table."""
        self.reached.add((where, key))
        row = self.tables[where].get(key)
        if row is None:
            self.wrong.append(f"{where} lacks `{key}`")
            return where, Row("", "")
        if not row.is_as_in:
            return where, row
        elsewhere = next((link for link in row.links if key in self.tables.get(link, {})), None)
        if elsewhere is None:
            self.wrong.append(f"{where}: `{key}` leads nowhere")
            return where, row
        return self._row(elsewhere, key)

    def _inside(self, row: Row, where: str, key: str) -> tuple[str, str]:
        """The table that has what is in a field, and how its names begin there."""
        section = next((link for link in row.links if self.tables.get(link)), None)
        return (where, f"{key}.") if section is None else (section, "")


def anchor(name: str) -> str:
    return next(anchor for anchor, section in PAGE.items() if section.title == name)


REQUESTS = {anchor: section.request for anchor, section in PAGE.items()}
ANSWERS = {anchor: section.answer for anchor, section in PAGE.items()}


def walk_all() -> tuple[Walk, Walk]:
    """All routes' requests and answers, the options and the errors."""
    requests, answers = Walk(REQUESTS), Walk(ANSWERS)
    requests.go(Tree(Options), Tree(ollama_types.Options), "options")
    for dialect in DIALECTS:
        answers.go(Tree(dialect.error), Tree(), dialect.name.lower())
    for route in ROUTES:
        taken, given = kinds(route)
        if taken:
            requests.go(Tree(*taken), Tree(*CLIENTS.get(title(route), ())), anchor(title(route)))
        if given:
            answers.go(Tree(*given), Tree(), anchor(title(route)))
    return requests, answers


@pytest.mark.parametrize("route", ROUTES, ids=title)
def test_the_page_has_every_field_of_a_route(route: Endpoint) -> None:
    taken, given = kinds(route)
    name = title(route)
    if taken:
        assert name in CLIENTS or name in OURS, (
            "name the clients' types, or say that there are none"
        )
        walk = Walk(REQUESTS)
        walk.go(Tree(*taken), Tree(*CLIENTS.get(name, ())), anchor(name))
        assert walk.wrong == []
    if given:
        walk = Walk(ANSWERS)
        walk.go(Tree(*given), Tree(), anchor(name))
        assert walk.wrong == []


def test_the_page_has_every_option_and_every_field_of_an_error() -> None:
    requests, answers = walk_all()
    assert (requests.wrong, answers.wrong) == ([], [])


def test_the_page_has_nothing_else() -> None:
    for walk, tables in zip(walk_all(), (REQUESTS, ANSWERS), strict=True):
        there = {(where, key) for where, table in tables.items() for key in table}
        assert there - walk.reached == set()


def test_every_row_says_what_becomes_of_its_fields() -> None:
    for where, table in REQUESTS.items():
        for key, row in table.items():
            assert row.status in STATUSES, f"{where}: {key}"
            assert row.text or row.status == "honoured", f"{where}: why is {key} {row.status}?"


class Wanted(TypedDict):
    model: str
    new: dict[str, Any]


class Has(Struct):
    model: str
    fresh: int = 0


def test_a_new_field_of_a_client_or_of_ours_is_missed() -> None:
    walk = Walk({"here": {"model": Row("honoured", "")}})
    walk.go(Tree(Has), Tree(Wanted), "here")
    assert walk.wrong == ["here lacks `fresh`", "here lacks `new`"]
    walk = Walk({"here": dict.fromkeys(("model", "fresh", "new"), Row("honoured", ""))})
    walk.go(Tree(Has), Tree(Wanted), "here")
    assert walk.wrong == ["here: no struct has `new`, which is honoured"]

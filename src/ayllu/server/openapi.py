"""Routes that say what they take and give, and the OpenAPI document that is made of them.

Source: https://spec.openapis.org/oas/v3.1.1.html.
"""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ayllu import __version__
from ayllu.cluster.peer_server import peer_of
from ayllu.errors import BusyError, ForbiddenError
from ayllu.server.carrier import carry
from ayllu.server.errors import DIALECTS, Dialect, dialect_of
from ayllu.server.schemas import NAME, Schema
from ayllu.server.state import LEAVES, state_of
from ayllu.server.stream import SSE, Framing

_JSON = "application/json"
_PARAMETERS: Mapping[str, Schema] = {
    "digest": {"type": "string", "pattern": "^sha256[:-][0-9a-fA-F]{64}$"}
}
"""What paths name that is more than any text."""


class Endpoint(Route):
    """A route with one method, as in `POST /api/chat`.

    `takes` is the struct of the request's body, `query` that of its query, `gives` the one of a
    whole answer, `streams` the kind of a stream's items with how they are framed. `bytes` stands
    for a body as it is, `str` for plain text, None for nothing. `statuses` are those of answers
    that are no errors. Other machines of the ayllu may not ask it.
    """

    peers = False

    def __init__(
        self,
        route: str,
        handler: Callable[[Request], Awaitable[Response]],
        *,
        takes: Any = None,  # noqa: ANN401 - a type, of any form
        query: type[Struct] | None = None,
        gives: Any = None,  # noqa: ANN401 - the same
        streams: tuple[Framing, Any] | None = None,
        statuses: Sequence[int] = (200,),
    ) -> None:
        self.method, path = route.split()
        super().__init__(path, handler, methods=[self.method])
        self.takes = takes
        self.query = query
        self.gives = gives
        self.streams = streams
        self.statuses = statuses

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Raises ForbiddenError where a machine asks what only the owner may."""
        if not self.peers and peer_of(scope) is not None:
            raise ForbiddenError(
                f"other machines of the ayllu may not {self.method} {self.path}: only this "
                "machine's owner may"
            )
        try:
            await super().handle(scope, receive, send)
        finally:
            if (leaves := scope.get("state", {}).get(LEAVES)) is not None:
                leaves()

    @property
    def summary(self) -> str:
        """What the handler's docstring says after the method and the path."""
        text = " ".join((inspect.getdoc(self.endpoint) or "").partition("\n\n")[0].split())
        summary = text.partition(": ")[2]
        return summary[:1].upper() + summary[1:]


class PeerEndpoint(Endpoint):
    """A route that other machines of the ayllu may ask, too: it changes nothing of the owner's.

    It takes memory and time of this machine, as far and as long as its owner gives them.
    """

    peers = True
    is_free = False

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Raises BusyError where a machine asks what it may not have now."""
        peer = peer_of(scope)
        if peer is None:
            await super().handle(scope, receive, send)
            return
        own = state_of(Request(scope)).cluster.own
        is_ours = self.is_free or peer == own.record.node
        if not is_ours and not own.given().enabled:
            raise BusyError(f"{own.record.name}: {own.terms.refusal}")
        await carry(super().handle, scope, receive, send)


class FreeEndpoint(PeerEndpoint):
    """A route that only tells what there is, or ends what they began: they may ask at any time."""

    is_free = True


def document(endpoints: Iterable[Endpoint]) -> Schema:
    """The OpenAPI document of some routes."""
    by_dialect: dict[str, list[Endpoint]] = defaultdict(list)
    for endpoint in endpoints:
        by_dialect[dialect_of(endpoint.path).name].append(endpoint)
    paths: dict[str, Schema] = defaultdict(dict)
    components: dict[str, Schema] = {}
    for dialect in reversed(DIALECTS):
        schemas = _Schemas(dialect, by_dialect[dialect.name])
        components |= schemas.components
        for endpoint in by_dialect[dialect.name]:
            operation = _operation(endpoint, dialect, schemas)
            paths[endpoint.path_format][endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ayllu",
            "version": __version__,
            "summary": "Language models on your own machines, through Ollama's API, OpenAI's and "
            "Anthropic's.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        # Only other machines need a key, and only where the server has any.
        "security": [{}, {"bearer": []}, {"key": []}],
        "tags": [{"name": dialect.name} for dialect in reversed(DIALECTS)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
        },
    }


class _Schemas:
    """The schemas of all that the routes of a dialect take and give."""

    def __init__(self, dialect: Dialect, endpoints: Sequence[Endpoint]) -> None:
        taken = [one.takes for one in endpoints if one.takes not in (None, bytes)]
        given = [one.gives for one in endpoints if one.gives not in (None, str, bytes)]
        given += [one.streams[1] for one in endpoints if one.streams is not None]
        taken_schemas, taken_components = msgspec.json.schema_components(taken)
        given_schemas, given_components = msgspec.json.schema_components([*given, dialect.error])
        # A struct that goes both ways may have nulls in a request alone.
        names = {name: dialect.name + _short(name) for name in given_components}
        asked = {name: dialect.name + _short(name) for name in taken_components}
        asked |= {name: f"{new}Input" for name, new in asked.items() if new in names.values()}
        self.taken = dict(zip(taken, _renamed(taken_schemas, asked), strict=True))
        self.given = dict(zip([*given, dialect.error], _renamed(given_schemas, names), strict=True))
        self.components = {
            names[name]: _renamed(schema, names) for name, schema in given_components.items()
        } | {
            asked[name]: _renamed(_as_read(schema), asked)
            for name, schema in taken_components.items()
        }


def _short(name: str) -> str:
    """What msgspec calls by its module too, where there are two, in fewer words."""
    module, _, plain = name.rpartition(".")
    return f"{plain}_{module.rpartition('_')[2]}" if module else plain.rstrip("_")


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON
    """The same with its references to components by their new names."""
    if isinstance(schema, dict):
        return {key: _renamed(value, names) for key, value in schema.items()}
    if isinstance(schema, list | tuple):
        return [_renamed(value, names) for value in schema]
    if isinstance(schema, str) and schema.startswith("#/$defs/"):
        return f"#/components/schemas/{names[schema.removeprefix('#/$defs/')]}"
    return schema


def _as_read(component: Schema) -> Schema:
    """A struct of a request: null is absent, and what is needed must be there."""
    if "properties" not in component:
        return component
    required = list(component["required"])
    properties = {}
    for name, schema in component["properties"].items():
        needed = schema.pop("needed", False) or name in required
        if needed and name not in required:
            required.append(name)
            schema.pop("default", None)
        properties[name] = _without_null(schema) if needed else _or_null(schema)
    return {**component, "properties": properties, "required": required}


def _without_null(schema: Schema) -> Schema:
    forms = [form for form in schema.get("anyOf", ()) if form != {"type": "null"}]
    if len(forms) != 1:
        return schema
    return {**forms[0], **{key: value for key, value in schema.items() if key != "anyOf"}}


def _or_null(schema: Schema) -> Schema:
    default = {"default": schema["default"]} if schema.get("default") is not None else {}
    plain = {key: value for key, value in schema.items() if key != "default"}
    null = {"type": "null"}
    if not plain or null in plain.get("anyOf", ()):
        return plain | default
    if "anyOf" in plain and not plain.keys() & {"type", "enum", "const"}:
        return {**plain, "anyOf": [*plain["anyOf"], null]} | default
    return {"anyOf": [plain, null]} | default


def _operation(endpoint: Endpoint, dialect: Dialect, schemas: _Schemas) -> Schema:
    words = re.findall(r"\w+", endpoint.path_format)
    operation: Schema = {
        "tags": [dialect.name],
        "summary": endpoint.summary,
        "operationId": "_".join([endpoint.method.lower(), *words]),
    }
    if parameters := [*_path_parameters(endpoint), *_query_parameters(endpoint)]:
        operation["parameters"] = parameters
    if endpoint.takes is not None:
        operation["requestBody"] = {"required": True, "content": _taken(endpoint.takes, schemas)}
    operation["responses"] = _responses(endpoint, dialect, schemas)
    return operation


def _path_parameters(endpoint: Endpoint) -> Iterator[Schema]:
    for name in endpoint.param_convertors:
        schema = _PARAMETERS.get(name, NAME)
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(endpoint: Endpoint) -> Iterator[Schema]:
    if endpoint.query is not None:
        _, components = msgspec.json.schema_components((endpoint.query,))
        for name, schema in components[endpoint.query.__name__]["properties"].items():
            said = {key: value for key, value in schema.items() if value is not None}
            yield {"name": name, "in": "query", "schema": _without_null(said)}


def _taken(kind: Any, schemas: _Schemas) -> Schema:  # noqa: ANN401 - a type, of any form
    if kind is bytes:
        return {"application/octet-stream": {}}
    return {_JSON: {"schema": schemas.taken[kind]}}


def _framed(framing: Framing, item: Schema) -> Schema:
    """A line of a stream, or a server-sent event of one.

    OpenAPI before 3.2 has no word for sequences: the schema is that of each of their items.
    """
    if framing.media_type != SSE.media_type:
        return item
    data = {"type": "string", "contentMediaType": _JSON, "contentSchema": item}
    return {
        "type": "object",
        "properties": {
            "event": {"type": "string"},
            "data": {"anyOf": [data, {"const": "[DONE]"}]} if framing.end else data,
        },
        "required": ["data"],
    }


def _responses(endpoint: Endpoint, dialect: Dialect, schemas: _Schemas) -> Schema:
    content: Schema = {}
    error = schemas.given[dialect.error]
    if endpoint.gives is str:
        content["text/plain"] = {"schema": {"type": "string"}}
    elif endpoint.gives is bytes:
        content["application/octet-stream"] = {}
    elif endpoint.gives is not None:
        content[_JSON] = {"schema": schemas.given[endpoint.gives]}
    if endpoint.streams is not None:
        framing, kind = endpoint.streams
        item = schemas.given[kind]
        if "error" not in item.get("discriminator", {}).get("mapping", {}):
            item = {"anyOf": [item, error]}
        content[framing.media_type] = {"schema": _framed(framing, item)}
    answer = {"content": content} if content else {}
    failure = {} if endpoint.method == "HEAD" else {"content": {_JSON: {"schema": error}}}
    return {
        str(status): {"description": HTTPStatus(status).phrase, **answer}
        for status in endpoint.statuses
    } | {
        "4XX": {"description": "What was asked for cannot be had; the error says why.", **failure},
        "5XX": {"description": "The server or its engine failed; the error says how.", **failure},
    }

"""Errors in the shape that the clients of each dialect read, told apart by the path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from ayllu.errors import AylluError, ContextExceededError
from ayllu.server import wire_anthropic, wire_ollama, wire_openai, wire_registry
from ayllu.server.anthropic_errors import anthropic_error
from ayllu.server.stored import PreviousNotFoundError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_REASONS: dict[type[AylluError], str] = {
    ContextExceededError: "context_length_exceeded",
    PreviousNotFoundError: "previous_response_not_found",
} | wire_registry.CODES
_CODES = {401: "invalid_api_key", 404: "not_found", 413: "request_too_large", 501: "unsupported"}


class Dialect(Struct, frozen=True):
    """One of the APIs: its name, how its paths begin, and its errors.

    `write` makes an `error` of a sentence, a status and the dialect's word for the reason.
    """

    name: str
    start: str
    error: type[Struct]
    write: Callable[[str, int, str | None], Any]


def error_body(error: AylluError, path: str) -> object:
    """The JSON of an error, as an answer or within a stream."""
    return status_body(error.sentence, error.status, path, code=_REASONS.get(type(error)))


def status_body(sentence: str, status: int, path: str, *, code: str | None = None) -> object:
    """The same, of a sentence and a status; `code` is the dialect's word for the reason."""
    return dialect_of(path).write(sentence, status, code)


def has_plain_errors(path: str) -> bool:
    """Whether unknown paths and methods are answered as Go's router answers them."""
    return dialect_of(path).error is wire_ollama.ErrorResponse


def dialect_of(path: str) -> Dialect:
    """The dialect that is spoken on a path."""
    return next(dialect for dialect in DIALECTS if path.startswith(dialect.start))


def _ollama_error(sentence: str, _status: int, _code: str | None) -> wire_ollama.ErrorResponse:
    return wire_ollama.ErrorResponse(sentence)


def _openai_error(sentence: str, status: int, code: str | None) -> wire_openai.ErrorResponse:
    """Source: https://platform.openai.com/docs/guides/error-codes, and Ollama's types."""
    kind = _TYPES.get(status, "invalid_request_error" if 400 <= status < 500 else "api_error")
    error = wire_openai.Error(message=sentence, type=kind, code=code or _CODES.get(status))
    return wire_openai.ErrorResponse(error)


DIALECTS = (
    Dialect("Anthropic", "/v1/messages", wire_anthropic.ErrorResponse, anthropic_error),
    Dialect("OpenAI", "/v1/", wire_openai.ErrorResponse, _openai_error),
    Dialect("Registry", "/v2/", wire_registry.ErrorResponse, wire_registry.registry_error),
    Dialect("Ollama", "", wire_ollama.ErrorResponse, _ollama_error),
)
"""The first whose beginning a path has is the one that counts."""

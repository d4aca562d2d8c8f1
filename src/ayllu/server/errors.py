"""Errors in the shape that the clients of each dialect read, told apart by the path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ayllu.errors import AylluError, ContextExceededError
from ayllu.server import wire_openai
from ayllu.server.anthropic_errors import anthropic_error
from ayllu.server.stored import PreviousNotFoundError
from ayllu.server.wire_ollama import ErrorResponse

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_REASONS: dict[type[AylluError], str] = {
    ContextExceededError: "context_length_exceeded",
    PreviousNotFoundError: "previous_response_not_found",
}
_CODES = {401: "invalid_api_key", 404: "not_found", 413: "request_too_large", 501: "unsupported"}


def error_body(error: AylluError, path: str) -> object:
    """The JSON of an error, as an answer or within a stream."""
    return status_body(error.sentence, error.status, path, code=_REASONS.get(type(error)))


def status_body(sentence: str, status: int, path: str, *, code: str | None = None) -> object:
    """The same, of a sentence and a status; `code` is the dialect's word for the reason."""
    return _shape(path)(sentence, status, code)


def has_plain_errors(path: str) -> bool:
    """Whether unknown paths and methods are answered as Go's router answers them."""
    return _shape(path) is _ollama_error


def _shape(path: str) -> Callable[[str, int, str | None], Any]:
    return next((shape for start, shape in _SHAPES if path.startswith(start)), _ollama_error)


def _ollama_error(sentence: str, _status: int, _code: str | None) -> ErrorResponse:
    return ErrorResponse(sentence)


def _openai_error(sentence: str, status: int, code: str | None) -> wire_openai.ErrorResponse:
    """Source: https://platform.openai.com/docs/guides/error-codes, and Ollama's types."""
    kind = _TYPES.get(status, "invalid_request_error" if 400 <= status < 500 else "api_error")
    error = wire_openai.Error(message=sentence, type=kind, code=code or _CODES.get(status))
    return wire_openai.ErrorResponse(error)


_SHAPES: tuple[tuple[str, Callable[[str, int, str | None], Any]], ...] = (
    ("/v1/messages", anthropic_error),
    ("/v1/", _openai_error),
)
"""By the beginning of a path, the longest first."""

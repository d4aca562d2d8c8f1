"""Errors in the shape that the clients of each dialect read, told apart by the path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ayllu.errors import AylluError, ContextExceededError
from ayllu.server.anthropic_errors import anthropic_error
from ayllu.server.wire_ollama import ErrorResponse


def error_body(error: AylluError, path: str) -> object:
    """The JSON of an error, as an answer or within a stream."""
    code = "context_length_exceeded" if isinstance(error, ContextExceededError) else None
    return status_body(error.sentence, error.status, path, code=code)


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


_SHAPES: tuple[tuple[str, Callable[[str, int, str | None], Any]], ...] = (
    ("/v1/messages", anthropic_error),
)
"""By the beginning of a path, the longest first."""

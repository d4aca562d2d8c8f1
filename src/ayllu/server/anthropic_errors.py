"""Errors in Anthropic's shape. Source: https://platform.claude.com/docs/en/api/errors."""

from __future__ import annotations

import secrets

from ayllu.server.wire_anthropic import ErrorBody, ErrorResponse

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def anthropic_error(sentence: str, status: int, _code: str | None = None) -> ErrorResponse:
    """The body of an error."""
    kind = _TYPES.get(status, "invalid_request_error" if 400 <= status < 500 else "api_error")
    return ErrorResponse(ErrorBody(kind, sentence), f"req_{secrets.token_hex(12)}")

"""Bodies to the engine, bounded, and what its error bodies mean to whoever sent a request. Pure."""

from __future__ import annotations

from io import BytesIO

import msgspec
from msgspec import Struct

from ayllu.errors import BadRequestError, ContextExceededError, EngineError, TooLargeError
from ayllu.types import Json

MAX_BODY = 100 << 20
"""What llama-server takes; it breaks the connection beyond that (cpp-httplib's default)."""

LARGE_BODY = 1 << 20
"""From here on a body is sent piece by piece, so that it is not copied whole once more."""

_CLEARER = {
    "Failed to load image or audio file": (
        "an image or a sound of the request is damaged, or of a kind that cannot be decoded"
    ),
    "Failed to tokenize prompt": (
        "this model cannot take an image or a sound of the request: it may be empty or too small"
    ),
    "failed to process mtmd chunk": (
        "this model's projector failed on an image or a sound of the request"
    ),
}
"""What the engine says of media; it calls that the server's fault where it counts tokens."""


class _ErrorBody(Struct, frozen=True):
    message: str = ""
    type: str = ""
    n_prompt_tokens: int = 0
    n_ctx: int = 0


class _ErrorLine(Struct, frozen=True):
    error: _ErrorBody


_encoder = msgspec.json.Encoder()
_error_line = msgspec.json.Decoder(_ErrorLine)


def payload(body: Json) -> bytes | BytesIO:
    """A body as JSON. Raises TooLargeError where the engine would not take it."""
    data = _encoder.encode(body)
    if len(data) > MAX_BODY:
        raise TooLargeError(f"the request is larger than the engine takes: {MAX_BODY >> 20} MiB")
    return data if len(data) < LARGE_BODY else BytesIO(data)


def refusal(data: bytes) -> EngineError | BadRequestError:
    """The error that an error body stands for."""
    try:
        error = _error_line.decode(data).error
    except msgspec.DecodeError:
        return EngineError(f"the engine answered {data[:200]!r}")
    if error.message in _CLEARER:
        return BadRequestError(_CLEARER[error.message])
    if error.type == "exceed_context_size_error":
        return ContextExceededError(error.n_prompt_tokens, error.n_ctx)
    if error.type == "invalid_request_error":
        return BadRequestError(error.message)
    return EngineError(error.message)

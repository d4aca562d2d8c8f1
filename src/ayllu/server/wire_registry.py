"""The registry's answers and errors, as in the OCI distribution specification 1.1.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ayllu.errors import AylluError, BadRequestError, NotFoundError

MOST_LISTED = 1000


class Base(Struct, frozen=True):
    """GET /v2/: an empty object."""


class Catalog(Struct, frozen=True):
    """The repositories, in order of name."""

    repositories: tuple[str, ...]


class Tags(Struct, frozen=True):
    """The tags of a repository, in order."""

    name: str
    tags: tuple[str, ...]


class Page(Struct, frozen=True, kw_only=True):
    """Which part of a list is wanted: at most `n` (of which 1000 are given), those after `last`."""

    n: Annotated[int, Meta(ge=0)] = MOST_LISTED
    last: str = ""


class Error(Struct, frozen=True):
    """One of a registry's errors."""

    code: str
    message: str
    detail: None = None


class ErrorResponse(Struct, frozen=True):
    """What a registry says when it cannot."""

    errors: tuple[Error, ...]


class ManifestUnknownError(NotFoundError):
    """There is no manifest of that tag or digest."""


class BlobUnknownError(NotFoundError):
    """No model of the repository has that blob."""


class DigestInvalidError(BadRequestError):
    """What should be a digest is none."""


CODES: dict[type[AylluError], str] = {
    ManifestUnknownError: "MANIFEST_UNKNOWN",
    BlobUnknownError: "BLOB_UNKNOWN",
    DigestInvalidError: "DIGEST_INVALID",
}
_BY_STATUS = {
    400: "NAME_INVALID",
    401: "UNAUTHORIZED",
    403: "DENIED",
    404: "NAME_UNKNOWN",
    405: "UNSUPPORTED",
    416: "RANGE_INVALID",
    429: "TOOMANYREQUESTS",
}


def registry_error(sentence: str, status: int, code: str | None) -> ErrorResponse:
    """An error in the registry's shape."""
    return ErrorResponse((Error(code or _BY_STATUS.get(status, "UNKNOWN"), sentence),))

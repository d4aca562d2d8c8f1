"""Compressed bodies, and bombs among them."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
import zlib
from collections.abc import Callable

import pytest

from ayllu.errors import AylluError, BadRequestError, TooLargeError
from ayllu.server.encoding import EncodingError, decoded

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT = 1 << 20
TEXT = b'{"model": "mini"}' * 100


def unpacked(body: bytes, encoding: str) -> bytes:
    return bytes(asyncio.run(decoded(body, encoding, LIMIT)))


def wide(body: bytes) -> bytes:
    """A frame that wants 128 MiB of memory to be unpacked."""
    return zstd.compress(body, options={zstd.CompressionParameter.window_log: 27})


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        (" GZIP ", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstd.compress),
        ("", bytes),
        ("identity", bytes),
    ],
)
def test_a_body_is_unpacked(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert unpacked(pack(TEXT), encoding) == TEXT
    assert unpacked(pack(b"x" * LIMIT), encoding) == b"x" * LIMIT


@pytest.mark.parametrize(
    ("encoding", "body", "error", "words"),
    [
        ("gzip", gzip.compress(b"x" * (LIMIT + 1)), TooLargeError, "larger than 1048576 bytes"),
        ("deflate", zlib.compress(bytes(1 << 24)), TooLargeError, "larger than"),
        ("zstd", zstd.compress(bytes(1 << 24)), TooLargeError, "larger than"),
        ("gzip", gzip.compress(TEXT)[:-5], BadRequestError, "not one whole gzip stream"),
        ("zstd", zstd.compress(TEXT)[:-2], BadRequestError, "not one whole zstd stream"),
        ("gzip", gzip.compress(TEXT) * 2, BadRequestError, "not one whole"),
        ("zstd", zstd.compress(TEXT) + b"x", BadRequestError, "not one whole"),
        ("gzip", b"", BadRequestError, "not one whole"),
        ("gzip", TEXT, BadRequestError, "cannot be unpacked"),
        ("zstd", TEXT, BadRequestError, "cannot be unpacked"),
        ("zstd", wide(os.urandom(1 << 24)), BadRequestError, "too much memory"),
        ("br", TEXT, EncodingError, "'br' is none of gzip, deflate and zstd"),
        ("gzip, zstd", TEXT, EncodingError, "is none of"),
    ],
    # A name must not have the bytes in it: gzip writes the time into them.
    ids=lambda value: "body" if isinstance(value, bytes) else None,
)
def test_what_cannot_be_unpacked_is_refused(
    encoding: str, body: bytes, error: type[AylluError], words: str
) -> None:
    with pytest.raises(error, match=words):
        unpacked(body, encoding)

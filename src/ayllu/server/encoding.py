"""Bodies that come compressed: unpacked within bounds.

Source: RFC 9110, 8.4; for zstd RFC 8878 and the window of RFC 9659.
"""

from __future__ import annotations

import asyncio
import sys
import zlib

from ayllu.errors import AylluError, BadRequestError, TooLargeError

_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
_ZSTD_WINDOW_LOG = 23  # 8 MiB: a frame may ask for far more memory


class EncodingError(AylluError):
    """A body is compressed in a way that is not known here."""

    status = 415


async def decoded(body: bytes | bytearray, encoding: str, limit: int) -> bytes | bytearray:
    """The body as it was before `Content-Encoding`.

    Raises EncodingError, BadRequestError where it is damaged, TooLargeError over `limit` bytes.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    unpack = {"gzip": _zlib, "x-gzip": _zlib, "deflate": _zlib, "zstd": _zstd}.get(encoding)
    if unpack is None:
        raise EncodingError(f"the content encoding {encoding!r} is none of gzip, deflate and zstd")
    # More than the limit is not unpacked, whatever the body would grow to.
    unpacked, whole = await asyncio.to_thread(unpack, body, limit + 1)
    if len(unpacked) > limit:
        raise TooLargeError(f"the request is larger than {limit} bytes")
    if not whole:
        raise BadRequestError(f"the request is not one whole {encoding} stream")
    return unpacked


def _zlib(body: bytes | bytearray, most: int) -> tuple[bytes, bool]:
    """At most so many bytes, and whether that was all of it."""
    stream = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        return stream.decompress(body, most), stream.eof and not stream.unused_data
    except zlib.error as error:
        raise BadRequestError(f"the request cannot be unpacked: {error}") from error


def _zstd(body: bytes | bytearray, most: int) -> tuple[bytes, bool]:
    """The same of a zstd frame."""
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - few clients need it
    else:
        from backports import zstd  # noqa: PLC0415 - the same
    bounds: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    stream = zstd.ZstdDecompressor(options=bounds)
    try:
        return stream.decompress(body, most), stream.eof and not stream.unused_data
    except zstd.ZstdError as error:
        raise BadRequestError(f"the request cannot be unpacked: {error}") from error

"""The first message of the engine's RPC protocol, by which a worker says which version it speaks.

Source: ggml-rpc.cpp, RPC_CMD_HELLO: a byte of command, eight of length (little-endian), what the
caller is capable of; back come eight of length, and the version's major, minor and patch in a byte
each.
"""

from __future__ import annotations

import struct

_COMMAND = 14
_CAPABILITY_BYTES = 24
_REPLY_BYTES = 28
HELLO = struct.pack("<BQ", _COMMAND, _CAPABILITY_BYTES) + bytes(_CAPABILITY_BYTES)
"""What to send."""
HELLO_REPLY_BYTES = 8 + _REPLY_BYTES
"""How much comes back."""


def read_hello(reply: bytes) -> tuple[int, int, int]:
    """The version in the answer to HELLO. Raises ValueError for what is none."""
    if len(reply) < 11:
        raise ValueError("it broke off")
    (length,) = struct.unpack_from("<Q", reply)
    if not 3 <= length <= 1 << 10:
        raise ValueError("it is no RPC worker of the engine")
    return reply[8], reply[9], reply[10]


def version_text(version: tuple[int, ...] | None) -> str:
    """As people write it."""
    return ".".join(map(str, version)) if version else "unknown"

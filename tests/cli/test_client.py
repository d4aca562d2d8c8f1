from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ayllu.cli import client
from ayllu.cli.client import ProtocolError, is_this_machine, split_lines
from ayllu.config import parse_address


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


def lines_of(*data: bytes) -> list[bytes]:
    async def collect() -> list[bytes]:
        return [line async for line in split_lines(pieces(*data))]

    return asyncio.run(collect())


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"b", b"\n", b"c\nd"], [b"ab", b"c", b"d"]),
        ([b"\r\n\n a \r\n"], [b"a"]),
        ([b"", b"x\n", b""], [b"x"]),
        ([], []),
    ],
)
def test_lines_are_found_however_the_bytes_arrive(data: list[bytes], lines: list[bytes]) -> None:
    assert lines_of(*data) == lines


def test_a_line_of_megabytes_arrives_whole() -> None:
    line = b"x" * 5_000_000
    cut = [line[start : start + 65536] for start in range(0, len(line), 65536)]

    assert lines_of(*cut, b"\nend\n") == [line, b"end"]


def test_a_line_without_end_is_refused() -> None:
    piece = bytes(client.LONGEST_LINE // 4 + 1)

    with pytest.raises(ProtocolError, match="without an end"):
        lines_of(*[piece] * 4)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1:80", True),
        ("localhost", True),
        ("0.0.0.0", True),
        (":11434", True),
        ("[::1]:11434", True),
        ("192.168.1.2", False),
        ("https://example.com", False),
    ],
)
def test_only_loopback_and_wildcards_are_this_machine(host: str, here: bool) -> None:
    assert is_this_machine(parse_address(host)) is here

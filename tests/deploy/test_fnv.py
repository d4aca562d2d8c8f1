"""The hash against a plain loop."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayllu.deploy.fnv import LANES, OFFSET, PRIME, ROWS, Fnv1a

BLOCK = ROWS * LANES


def plain(data: bytes) -> int:
    value = OFFSET
    for byte in data:
        value = (value ^ byte) * PRIME % (1 << 64)
    return value


def hashed(*pieces: bytes | memoryview) -> int:
    fnv = Fnv1a()
    for piece in pieces:
        fnv.update(piece)
    return fnv.value


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"", 0xCBF29CE484222325), (b"a", 0xAF63DC4C8601EC8C), (b"foobar", 0x85944171F73967E8)],
)
def test_known_values(data: bytes, value: int) -> None:
    """Those of draft-eastlake-fnv, appendix C."""
    assert hashed(data) == value


@given(st.binary(max_size=600), st.integers(0, 600), st.integers(0, 20))
@settings(deadline=None)
def test_it_is_a_plain_loop_however_the_bytes_come(data: bytes, cut: int, times: int) -> None:
    data *= times
    assert hashed(data) == plain(data) == hashed(data[:cut], memoryview(data)[cut:])


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK + ROWS + 3])
def test_whole_blocks(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert hashed(data) == plain(data)


@pytest.mark.parametrize("byte", [b"\0", b"\xff"])
def test_the_extremes_stay_exact(byte: bytes) -> None:
    data = byte * (BLOCK + 1)
    assert hashed(data) == plain(data)

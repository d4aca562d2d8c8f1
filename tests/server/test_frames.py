"""Frames between machines: whole again however they come, and garbage is found out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayllu.cluster.peers import PeerGoneError
from ayllu.server.frames import (
    BEAT,
    END,
    HEAD,
    ITEM,
    Unframer,
    frame,
    numbered,
    read_head,
    read_number,
)

FRAMES = st.lists(st.tuples(st.integers(HEAD, END), st.binary(max_size=50)))


@given(FRAMES, st.lists(st.integers(0, 300)))
def test_frames_come_whole_however_their_bytes_come(
    frames: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    data = b"".join(frame(kind, payload) for kind, payload in frames)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    unframer = Unframer()
    found = [one for start, end in pairwise(places) for one in unframer.feed(data[start:end])]
    assert found == frames


@given(st.integers(0, 65535), st.binary())
def test_numbers_come_back(number: int, data: bytes) -> None:
    [(kind, payload)] = Unframer().feed(numbered(ITEM, number, data))
    assert (kind, read_number(payload)) == (ITEM, (number, data))


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK", b"\0" * 5, b"\x02\xff\xff\xff\xff"])
def test_garbage_is_no_frame(data: bytes) -> None:
    with pytest.raises(PeerGoneError, match="no Ayllu sends"):
        list(Unframer().feed(data))


@given(st.binary(max_size=40))
def test_heads_and_numbers_of_garbage_are_refused(data: bytes) -> None:
    for read in (read_head, read_number):
        try:
            read(data)
        except PeerGoneError as error:
            assert "no Ayllu sends" in str(error)  # noqa: PT017 - both outcomes are right


def test_a_beat_is_five_bytes() -> None:
    assert len(frame(BEAT)) == 5

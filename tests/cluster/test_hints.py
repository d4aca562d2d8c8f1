from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ayllu.cluster.hints import (
    FORGET_SECONDS,
    LARGEST,
    MAGIC,
    MOST,
    MOST_OF_ONE_ADDRESS,
    VERSION,
    Hints,
    Message,
    decode,
    encode,
    tag_of,
)
from ayllu.errors import BadRequestError

ME = "m" * 20
NODE = "a" * 20


def said(node: str = NODE, time: float = 1000.0, **fields: object) -> bytes:
    message = Message(MAGIC, VERSION, node, "näme", tag_of("x"), "0.1", 1, 2, 3, time)
    return encode(replace(message, **fields))


def numbered(number: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return "".join(letters[number // 26**place % 26] for place in range(20))


def test_a_message_survives_the_way_and_fits_a_datagram() -> None:
    data = said(name="x" * 64, version="1" * 32, time=1.7e9)
    assert len(data) < LARGEST
    assert encode(decode(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"x" * 5000,
        said(magic="other"),
        said(format=2),
        said(node="../../etc"),
        said(name="a\nb"),
        said(name="x" * 65),
        said(tag="zz"),
        said(version="é"),
        said(join=70000),
        said(join=-1),
        said(time=float("nan")),
        said(time=-1.0),
        msgspec.msgpack.encode({"magic": MAGIC}),
        said() + b"more",
    ],
)
def test_what_is_no_beacon_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequestError):
        decode(data)


def test_a_machine_is_where_its_message_comes_from_by_all_ways() -> None:
    hints = Hints(ME)
    assert hints.receive(said(), "10.0.0.1", 0.0, 990.0) is not None
    assert hints.receive(said(), "fe80::1%eth0", 0.0, 990.0) is None
    (hint,) = hints.all(1.0)
    assert hint.addresses == ("10.0.0.1", "fe80::1%eth0")
    assert hint.places(hint.message.bus) == ("10.0.0.1:2", "[fe80::1%eth0]:2")
    assert hint.places(0) == ()
    assert hint.skew == 10.0


def test_own_messages_and_repeated_ones_change_nothing() -> None:
    hints = Hints(ME)
    assert not hints.hears_itself
    hints.receive(said(ME), "10.0.0.1", 0.0, 1000.0)
    assert hints.all(0.0) == ()
    assert hints.hears_itself
    hints.receive(said(time=1000.0, name="old"), "10.0.0.1", 0.0, 1000.0)
    hints.receive(said(time=1002.0, name="new"), "10.0.0.1", 2.0, 1000.0)
    assert hints.receive(said(time=1000.0, name="old"), "10.0.0.1", 3.0, 1000.0) is None
    assert [hint.message.name for hint in hints.all(3.0)] == ["new"]
    assert hints.all(2.0 + FORGET_SECONDS + 1) == ()


def test_the_table_is_bounded_and_one_address_cannot_fill_it() -> None:
    hints = Hints(ME)
    for number in range(100):
        hints.receive(said(numbered(number)), "10.0.0.1", 0.0, 1000.0)
    assert len(hints.all(0.0)) == MOST_OF_ONE_ADDRESS
    for number in range(100, 1000):
        hints.receive(said(numbered(number)), f"10.0.1.{number}", 0.0, 1000.0)
    assert len(hints.all(0.0)) == MOST
    assert hints.quiet.total["a beacon was dropped"] == 1000 - MOST
    hints.receive(said(NODE), "10.0.2.1", FORGET_SECONDS + 1, 1000.0)
    assert [hint.message.node for hint in hints.all(FORGET_SECONDS + 1)] == [NODE]


def test_a_machine_has_few_addresses_and_the_latest_is_the_first() -> None:
    hints = Hints(ME)
    for number in range(9):
        hints.receive(said(time=1000.0 + number), f"10.0.0.{number}", 0.0, 1000.0)
    (hint,) = hints.all(0.0)
    assert hint.addresses == ("10.0.0.8", "10.0.0.7", "10.0.0.6", "10.0.0.5")


@given(st.lists(st.one_of(st.binary(max_size=700), st.integers(0, 600)), max_size=30))
def test_no_datagram_upsets_the_table(pieces: list[bytes | int]) -> None:
    hints = Hints(ME)
    good = said()
    for piece in pieces:
        data = good[: piece % len(good)] if isinstance(piece, int) else piece
        hints.receive(data, "10.0.0.1", 0.0, 1000.0)
        hints.receive(good[:40] + data, "10.0.0.1", 0.0, 1000.0)
    hints.receive(good, "10.0.0.1", 0.0, 1000.0)
    assert NODE in {hint.message.node for hint in hints.all(0.0)}


@given(
    st.builds(
        Message,
        magic=st.just(MAGIC),
        format=st.just(VERSION),
        node=st.text("abc234567", min_size=18, max_size=21),
        name=st.text(max_size=70),
        tag=st.one_of(st.just(""), st.text("0123456789abcdef", min_size=15, max_size=17)),
        version=st.text(max_size=40),
        join=st.integers(-1, 70000),
        bus=st.integers(-1, 70000),
        bulk=st.integers(-1, 70000),
        time=st.floats(),
    )
)
def test_what_is_taken_in_can_be_shown(message: Message) -> None:
    hints = Hints(ME)
    if hints.receive(encode(message), "10.0.0.1", 0.0, 1000.0) is not None:
        (hint,) = hints.all(0.0)
        assert hint.message.name.isprintable()
        assert len(encode(hint.message)) <= LARGEST

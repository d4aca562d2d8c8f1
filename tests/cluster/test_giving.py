"""What other machines can ask of this one, and what comes of asking nonsense."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_maker import put
from sharers import Ayllu, Fake, Machine

from ayllu.cluster.bus import MANIFEST
from ayllu.cluster.giving import Giving
from ayllu.cluster.have import (
    SEGMENT,
    BlobRequest,
    HashRequest,
    Have,
    ManifestReply,
    ManifestRequest,
    PieceRequest,
    decode,
    encode,
)
from ayllu.errors import AylluError, BusyError, NotFoundError
from ayllu.models.manifest import digest_of
from ayllu.models.store import Store
from ayllu.registry.bandwidth import Bandwidth
from ayllu.registry.partial import CHUNK

DATA = os.urandom(20 * CHUNK + 77)
DIGEST = digest_of(DATA)[7:]
SIZE = len(DATA)


@pytest.fixture(scope="module")
def giving(tmp_path_factory: pytest.TempPathFactory) -> Giving:
    store = Store(tmp_path_factory.mktemp("models"))
    put(store, "me/x", b"{}", DATA)
    secret = b"no model has this"
    (store.blobs / digest_of(secret).replace(":", "-")).write_bytes(secret)
    return Giving(store, Bandwidth(), lambda _: None)


def test_pieces_and_their_hashes_are_those_of_the_blob(giving: Giving) -> None:
    for number in range(21):
        piece = giving.piece(encode(PieceRequest(DIGEST, SIZE, number)))
        assert piece == DATA[number * CHUNK : (number + 1) * CHUNK]
        segment, place = divmod(number, SEGMENT)
        hashes = giving.hashes(encode(HashRequest(DIGEST, SIZE, segment)))
        assert hashes[place * 32 :][:32] == hashlib.sha256(piece).digest()
    assert decode(giving.holds(encode(BlobRequest(DIGEST))), Have) == Have(size=SIZE, complete=True)


@pytest.mark.parametrize(
    "request_",
    [
        PieceRequest(DIGEST, SIZE, 21),
        PieceRequest(DIGEST, SIZE + 1, 0),
        PieceRequest(digest_of(b"no model has this")[7:], 17, 0),
        PieceRequest("0" * 64, SIZE, 0),
    ],
)
def test_what_is_not_here_or_no_models_is_not_given(giving: Giving, request_: PieceRequest) -> None:
    with pytest.raises(NotFoundError):
        giving.piece(encode(request_))


@pytest.mark.parametrize(
    "digest", ["../../../etc/passwd", "", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", "sha256:"]
)
def test_what_is_no_digest_is_refused(giving: Giving, digest: str) -> None:
    for message in ([digest, 5, 0], {"digest": digest, "size": 5, "number": 0, "segment": 0}):
        for answer in (giving.holds, giving.piece, giving.hashes):
            with pytest.raises(AylluError):
                answer(msgspec.msgpack.encode(message))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        name: VALUES | st.just(DIGEST) | st.integers(0, 30)
        for name in ("digest", "size", "number", "segment", "name")
    },
)


@given(st.binary() | VALUES.map(msgspec.msgpack.encode) | FIELDS.map(msgspec.msgpack.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_message_is_answered_or_refused_in_a_sentence(giving: Giving, message: bytes) -> None:
    for answer in (giving.holds, giving.piece, giving.hashes, giving.manifest):
        with suppress(AylluError):
            assert len(answer(message)) <= CHUNK


@given(st.binary() | VALUES.map(msgspec.msgpack.encode))
def test_any_answer_is_taken_for_what_it_is(message: bytes) -> None:
    for kind in (Have, ManifestReply):
        try:
            found = decode(message, kind)
        except AylluError:
            continue
        assert isinstance(found, kind)


def test_pieces_wait_for_the_limit_and_are_refused_past_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "me/x", b"{}", DATA)
    giving = Giving(store, Bandwidth(2 * CHUNK), lambda _: None)
    request = encode(PieceRequest(DIGEST, SIZE, 0))
    began = time.monotonic()
    giving.piece(request)
    assert time.monotonic() - began > 0.3
    Bandwidth.pay(giving._bandwidth, 4 * CHUNK)
    with pytest.raises(BusyError):
        giving.piece(request)


def _say(said: bytes, _: bytes) -> bytes:
    return said


def test_a_manifest_is_what_most_machines_have(tmp_path: Path) -> None:
    async def run() -> None:
        ayllu = Ayllu()
        names = ("one", "two", "three")
        machines = [Machine(tmp_path, ayllu, name) for name in names]
        me = Machine(tmp_path, ayllu, "me")
        bad = Fake(ayllu, "bad", b"?")
        for number, machine in enumerate(machines):
            put(machine.store, "me/x", b"{}", b"a model" if number else b"another")
        key = MANIFEST.format(node=bad.node)
        for said in (b"garbage", encode(ManifestReply(b"{}")), encode(ManifestReply(b"x" * 999))):
            close = bad.bus.serve(key, partial(_say, said))
            await asyncio.sleep(0)
            offer = await me.sharing.manifest("registry.ollama.ai/me/x:latest")
            assert offer
            assert offer.giver in {"twoaa", "three"}
            wanted = machines[1].store.manifest_bytes(machines[1].store.names()[0])
            assert offer.data == wanted
            close()
        assert await me.sharing.manifest("registry.ollama.ai/me/y:latest") is None
        assert await me.sharing.manifest("../../x") is None
        await ayllu.close()

    asyncio.run(run())


def test_manifests_of_names_that_are_none_are_refused(giving: Giving) -> None:
    for name in ("../../../x", "", "a b", "x" * 500, "\x00"):
        with pytest.raises(AylluError):
            giving.manifest(encode(ManifestRequest(name)))

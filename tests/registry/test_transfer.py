"""Downloads from a registry that misbehaves: R3 and R4, and what else a network does."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from bad_registry import Fault
from model_maker import files_of
from registries import BadRegistry, bad_registry

from ayllu.config import load_settings
from ayllu.errors import AylluError
from ayllu.models.manifest import digest_of
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.registry.bandwidth import Bandwidth
from ayllu.registry.client import Registries, Source
from ayllu.registry.downloads import Amount, Downloads
from ayllu.registry.limits import Limits, next_streams
from ayllu.registry.partial import CHUNK, Chunk, Partial
from ayllu.registry.transfer import LEAST_PART
from ayllu.types import Layer

QUICK = Limits(stall=0.4, backoff=0.01, slow_after=0.3, tick=0.05)
PATIENT = Limits(backoff=0.01, tick=0.05)
"""Where it is counted what was asked for: a busy registry must not seem to stand still."""
DATA = os.urandom(3 * LEAST_PART + 12345)
LAYER = Layer("m", digest_of(DATA), len(DATA))
NAME = f"sha256-{LAYER.digest[7:]}"


async def download(
    store: Store,
    registry: BadRegistry,
    *,
    layer: Layer = LAYER,
    limits: Limits = QUICK,
    rate: int = 0,
    until: Callable[[int], bool] = lambda _: False,
) -> list[int]:
    """Download a layer, or a part of it: the sizes that were told."""
    settings = {"AYLLU_HOME": str(store.root), "AYLLU_REGISTRIES": "127.0.0.1"}
    registries = Registries(load_settings(settings))
    downloads = Downloads(store, Bandwidth(rate), limits)
    place = registries.open(parse_name(f"{registry.host}/me/x"), "http")
    sizes = []
    fetching = downloads.fetch(Source(place, place.blob(layer.digest)), layer)
    try:
        async for amount in fetching:
            sizes.append(amount.size)
            if until(amount.size):
                break
    finally:
        await fetching.aclose()
        await downloads.close()
        await registries.close()
    return sizes


def downloaded(folder: Path, *faults: Fault, limits: Limits = QUICK) -> list[dict[str, Any]]:
    """Download the data in spite of faults; returns what was asked of the registry."""
    store = Store(folder / "models")
    with bad_registry(folder / "registry", *faults) as registry:
        registry.put_blob("me/x", DATA)
        sizes = asyncio.run(download(store, registry, limits=limits))
        asked = registry.requests
    assert sizes[-1] == LAYER.size
    assert sizes == sorted(sizes)
    assert store.blob_path(LAYER.digest).read_bytes() == DATA
    assert files_of(store.root) == {f"blobs/{NAME}"}
    return asked


def bytes_of(asked: list[dict[str, Any]]) -> int:
    return sum(max(one["sent"], 0) for one in asked)


def refused(folder: Path, *faults: Fault, layer: Layer = LAYER, data: bytes = DATA) -> str:
    """Try to download in vain; returns the sentence. Nothing is visible afterwards."""
    store = Store(folder / "models")
    with bad_registry(folder / "registry", *faults) as registry:
        digest = registry.put_blob("me/x", data)
        blobs = folder / "registry/blobs"
        (blobs / digest).replace(blobs / layer.digest)
        with pytest.raises(AylluError) as caught:
            asyncio.run(download(store, registry, layer=layer))
    assert not store.has_blob(layer.digest)
    return caught.value.sentence


def test_a_blob_comes_in_ranges_and_each_only_once(tmp_path: Path) -> None:
    asked = downloaded(tmp_path, limits=PATIENT)
    assert len(asked) == 4
    assert bytes_of(asked) == len(DATA)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut", times=3, after=3 << 20),
        Fault("cut", times=40, after=100_000),
        Fault("answer", times=5, status=503),
        Fault("answer", times=2, status=429, body='{"error":"slow down"}'),
        Fault("shift", times=2),
        Fault("short", times=4),
        Fault("more", times=4),
        Fault("hang", start=1, after=2 << 20),
        Fault("hang", start=1),
        Fault("answer", times=1, status=500, body="<html>"),
    ],
    ids=lambda fault: f"{fault.what} {fault.times} {fault.after or fault.status}",
)
def test_r3_what_breaks_goes_on_where_it_was(tmp_path: Path, fault: Fault) -> None:
    asked = downloaded(tmp_path, fault)
    assert bytes_of(asked) < len(DATA) + 2 * LEAST_PART


def test_r3_a_slow_stream_is_asked_for_anew(tmp_path: Path) -> None:
    fault = Fault("trickle", start=LEAST_PART, after=1 << 20)
    started = time.monotonic()
    downloaded(tmp_path, fault, limits=Limits(tick=0.05, slow_after=0.3))
    assert time.monotonic() - started < 60, "the trickle was waited for: it takes an hour"


def test_r3_a_registry_without_ranges_sends_the_whole(tmp_path: Path) -> None:
    asked = downloaded(tmp_path, Fault("whole", times=-1))
    assert [one for one in asked if "range" not in one["headers"]]


def test_r3_a_registry_without_ranges_may_break(tmp_path: Path) -> None:
    downloaded(tmp_path, Fault("whole", times=5), Fault("cut", after=9 << 20))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("cut", times=-1), "sent less than it promised|connection to .* broke"),
        (Fault("answer", times=-1, status=503, body="{}"), "answered 503"),
        (Fault("answer", times=-1, status=416), "answered 416"),
        (Fault("answer", times=-1, status=404), "has no /v2/me/x/blobs/sha256:"),
        (
            Fault("answer", times=-1, status=403, body='{"error":"go\\naway"}'),
            "allow this: go away",
        ),
        (Fault("shift", times=-1), "sent other bytes than it was asked for"),
        (Fault("hang", times=-1), "has stopped sending"),
        (Fault("size", times=-1, after=9), "has 9 bytes of sha256:.* and its manifest says"),
        (Fault("size", times=-1, after=9 << 40), r"bytes of sha256:.* and its manifest says"),
        (Fault("bomb", times=-1), "sent a compressed answer unasked"),
    ],
    ids=lambda value: value.what if isinstance(value, Fault) else "",
)
def test_what_does_not_pass_ends_in_one_sentence(tmp_path: Path, fault: Fault, words: str) -> None:
    sentence = refused(tmp_path, fault)
    assert re.search(words, sentence), sentence


def test_streams_that_fail_at_once_are_all_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused(tmp_path, Fault("answer", times=-1, status=503))
    gc.collect()  # asyncio complains then of an exception that nobody took
    assert not caplog.text


def test_a_blob_of_another_digest_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    other = os.urandom(len(DATA))
    sentence = refused(tmp_path, data=other)
    assert sentence == (
        "digest mismatch, file must be downloaded again: "
        f"want {LAYER.digest}, got {digest_of(other)}"
    )
    assert files_of(tmp_path / "models") == set()


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1])
def test_small_blobs_come_too(tmp_path: Path, size: int) -> None:
    data, store = os.urandom(size), Store(tmp_path / "models")
    with bad_registry(tmp_path / "registry") as registry:
        layer = Layer("m", registry.put_blob("me/x", data), size)
        sizes = asyncio.run(download(store, registry, layer=layer))
    assert sizes[-1] == size
    assert store.blob_path(layer.digest).read_bytes() == data


@pytest.mark.parametrize("after", [5, 4 << 20])
def test_r4_a_part_that_came_wrongly_is_fetched_again_alone(tmp_path: Path, after: int) -> None:
    asked = downloaded(tmp_path, Fault("flip", start=LEAST_PART, after=after))
    assert bytes_of(asked) <= len(DATA) + 2 * LEAST_PART


def test_r4_the_one_that_had_trouble_is_suspected_first(tmp_path: Path) -> None:
    start = 3 * LEAST_PART
    faults = [Fault("cut", start=start, after=5000), Fault("flip", start=start + 1, after=9)]
    asked = downloaded(tmp_path, *faults)
    assert bytes_of(asked) <= len(DATA) + LEAST_PART


def interrupted(store: Store, registry: BadRegistry) -> None:
    """Download about a half and leave."""
    half = len(DATA) // 2
    asyncio.run(download(store, registry, rate=40 << 20, until=lambda size: size > half))
    assert files_of(store.root) == {f"blobs/{NAME}-partial", f"blobs/{NAME}-partial-0"}


def test_r4_damage_on_disk_is_found_and_only_that_fetched_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    with bad_registry(tmp_path / "registry") as registry:
        registry.put_blob("me/x", DATA)
        interrupted(store, registry)
        before = len(registry.requests)
        path = store.blobs / f"{NAME}-partial"
        with path.open("r+b") as file:
            file.seek(100)
            file.write(b"damage")
        lines = (store.blobs / f"{NAME}-partial-0").read_bytes().splitlines()[2:]
        have = [min(CHUNK, len(DATA) - int(line.split()[0]) * CHUNK) for line in lines]
        asyncio.run(download(store, registry, limits=PATIENT))
        again = bytes_of(registry.requests[before:])
    assert store.blob_path(LAYER.digest).read_bytes() == DATA
    assert again == len(DATA) - sum(have) + CHUNK


@pytest.mark.parametrize(
    "harm",
    [
        lambda _path, journal: journal.unlink(),
        lambda path, _journal: path.unlink(),
        lambda path, _journal: os.truncate(path, 5000),
        lambda _path, journal: os.truncate(journal, journal.stat().st_size - 3),
        lambda _path, journal: journal.write_bytes(journal.read_bytes() + b"999999 0 0\n"),
        lambda _path, journal: journal.write_bytes(b'{"N":0,"Offset":-5,"Size":9,"Completed":9}'),
        lambda _path, journal: journal.write_bytes(b"\xff\x00"),
        lambda path, _journal: (path.unlink(), path.symlink_to("/etc/hostname")),
        lambda path, journal: (path.unlink(), path.symlink_to(journal)),
    ],
)
def test_whatever_lies_there_the_blob_is_right_at_the_end(
    tmp_path: Path, harm: Callable[[Path, Path], object]
) -> None:
    store, elsewhere = Store(tmp_path / "models"), Path("/etc/hostname").read_bytes()
    with bad_registry(tmp_path / "registry") as registry:
        registry.put_blob("me/x", DATA)
        interrupted(store, registry)
        harm(store.blobs / f"{NAME}-partial", store.blobs / f"{NAME}-partial-0")
        asyncio.run(download(store, registry))
    assert store.blob_path(LAYER.digest).read_bytes() == DATA
    assert files_of(store.root) == {f"blobs/{NAME}"}
    assert Path("/etc/hostname").read_bytes() == elsewhere


@pytest.mark.parametrize("wrong", [False, True])
def test_a_download_that_ollama_began_is_gone_on_with(tmp_path: Path, wrong: bool) -> None:
    store = Store(tmp_path / "models")
    store.blobs.mkdir(parents=True)
    half = len(DATA) // 2
    done = 5 * CHUNK + 10
    part = DATA[:done] + bytes(half - done) + DATA[half : half + done]
    if wrong:
        part = part[:7] + b"?" + part[8:]
    path = store.blobs / f"{NAME}-partial"
    path.write_bytes(part + bytes(len(DATA) - len(part)))
    for n, start, size in ((0, 0, half), (1, half, len(DATA) - half)):
        journal = f'{{"N":{n},"Offset":{start},"Size":{size},"Completed":{done}}}'
        path.with_name(f"{path.name}-{n}").write_text(journal)
    with bad_registry(tmp_path / "registry") as registry:
        registry.put_blob("me/x", DATA)
        asyncio.run(download(store, registry, limits=PATIENT))
        again = bytes_of(registry.requests)
    assert store.blob_path(LAYER.digest).read_bytes() == DATA
    assert files_of(store.root) == {f"blobs/{NAME}"}
    assert again == len(DATA) - 9 * CHUNK if not wrong else again < len(DATA) + LEAST_PART


def test_ollama_can_read_our_journal(tmp_path: Path) -> None:
    path = tmp_path / "x-partial"
    partial = Partial.open(path, 3 * CHUNK)
    assert partial is not None
    with partial:
        partial.write(0, [memoryview(bytes(CHUNK))], 0)
        partial.note_frontier(CHUNK)
        partial.write(2, [memoryview(bytes(CHUNK))], 1)
    first = (tmp_path / "x-partial-0").read_bytes().splitlines()[0]
    assert json.loads(first) == {
        "N": 0,
        "Offset": 0,
        "Size": 3 * CHUNK,
        "Completed": CHUNK,
    }
    again = Partial.open(path, 3 * CHUNK)
    assert again is not None
    with again:
        assert set(again.chunks) == {0, 2}
        assert again.chunks[2] == Chunk(again.chunks[0].crc, 1)
        assert Partial.open(path, 3 * CHUNK) is None, "it is locked"


@pytest.mark.parametrize(
    ("streams", "failures", "faster", "following"),
    [(4, 0, True, 6), (6, 0, False, 6), (16, 0, True, 16), (10, 3, True, 7), (5, 9, False, 4)],
)
def test_streams_grow_with_the_speed_and_shrink_with_failures(
    streams: int, failures: int, faster: bool, following: int
) -> None:
    assert next_streams(streams, Limits(), failures=failures, faster=faster) == following


def test_waiters_share_a_download_that_ends_with_the_last(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    settings = {"AYLLU_HOME": str(tmp_path), "AYLLU_REGISTRIES": "127.0.0.1"}

    async def run(registry: BadRegistry) -> None:
        registries = Registries(load_settings(settings))
        downloads = Downloads(store, Bandwidth(20 << 20), QUICK)
        place = registries.open(parse_name(f"{registry.host}/me/x"), "http")
        source = Source(place, place.blob(LAYER.digest))
        first, second, third = (downloads.fetch(source, LAYER) for _ in range(3))
        for _ in range(4):
            await anext(first)
        seen = (await anext(first)).size
        assert seen > 0
        assert (await anext(second)).size >= seen
        assert (await anext(third)).size >= seen
        await first.aclose()
        await second.aclose()
        assert (await anext(third)).size >= seen
        await third.aclose()
        asked = len(registry.requests)
        await asyncio.sleep(0.2)
        assert len(registry.requests) == asked
        assert files_of(store.root) == {f"blobs/{NAME}-partial", f"blobs/{NAME}-partial-0"}
        await asyncio.gather(*(collect(downloads.fetch(source, LAYER)) for _ in range(3)))
        await downloads.close()
        await registries.close()

    with bad_registry(tmp_path / "registry") as registry:
        registry.put_blob("me/x", DATA)
        asyncio.run(run(registry))
        assert bytes_of(registry.requests) < len(DATA) * 1.9
    assert store.blob_path(LAYER.digest).read_bytes() == DATA


async def collect(sizes: AsyncGenerator[Amount]) -> None:
    async for _ in sizes:
        pass

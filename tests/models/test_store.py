from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from model_maker import age, files_of, put, stream

from ayllu.errors import BadRequestError, NotFoundError, StoreError
from ayllu.models.manifest import MODEL_TYPE, digest_of, encode_manifest
from ayllu.models.name import parse_name, short_name
from ayllu.models.store import Store
from ayllu.types import Layer

HEX = "0123456789abcdef" * 4


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def test_the_layout_is_ollamas(store: Store) -> None:
    stored = put(store, "me/mini:1b", b"{}", b"abc")
    blobs = {f"blobs/sha256-{hashlib.sha256(data).hexdigest()}" for data in (b"{}", b"abc")}
    manifest = "manifests/registry.ollama.ai/me/mini/1b"
    assert files_of(store.root) == {*blobs, manifest}
    data = (store.root / manifest).read_bytes()
    assert stored.digest == hashlib.sha256(data).hexdigest()
    assert stored.size == 5
    assert stored.modified_at == (store.root / manifest).stat().st_mtime_ns
    assert all((store.root / blob).stat().st_mode & 0o777 == 0o644 for blob in blobs)


def test_an_empty_store_is_empty_and_stays_unmade(store: Store) -> None:
    assert (store.names(), store.models(), store.damaged(), store.prune()) == ((), (), (), ())
    assert not store.has_blob(f"sha256:{HEX}")
    with pytest.raises(NotFoundError, match=r"^model 'x:latest' not found$"):
        store.manifest(parse_name("x"))
    with pytest.raises(NotFoundError):
        store.delete(parse_name("x"))
    assert not (store.root / "manifests").exists()


def test_a_manifests_bytes_are_kept_as_they_are(store: Store) -> None:
    config = store.write_blob(b"{}", "c")
    odd = json.dumps({"config": {"mediaType": "c", "digest": config.digest, "size": 2}, "x": 1})
    data = f" {odd}\n".encode()
    stored = store.write_manifest(parse_name("odd"), data)
    assert stored.digest == hashlib.sha256(data).hexdigest()
    store.copy(parse_name("odd"), parse_name("other"))
    assert store.manifest(parse_name("other")).digest == stored.digest


def test_models_are_listed_newest_first(store: Store) -> None:
    for number, name in enumerate(("a", "c", "b")):
        put(store, name)
        path = store.manifests / f"registry.ollama.ai/library/{name}/latest"
        os.utime(path, (1000 + number,) * 2)
    assert [model.name.model for model in store.models()] == ["b", "c", "a"]
    assert [name.model for name in store.names()] == ["a", "b", "c"]


def test_a_changed_manifest_is_read_again(store: Store) -> None:
    put(store, "a", b"{}", b"one")
    first = store.models()[0]
    put(store, "a", b"{}", b"three")
    assert store.models()[0].size == first.size + 2
    assert Store(store.root).models() == store.models()


def test_names_match_without_regard_to_case(store: Store) -> None:
    put(store, "Me/Mini:Q4")
    assert store.resolve(parse_name("mE/mINI:q4")) == parse_name("Me/Mini:Q4")
    assert store.manifest(parse_name("me/mini:q4")).name == parse_name("Me/Mini:Q4")
    put(store, "me/mini:q4", b"{}", b"new")
    put(store, "ME/other")
    assert {short_name(name) for name in store.names()} == {"Me/Mini:Q4", "Me/other:latest"}
    store.delete(parse_name("ME/MINI:Q4"))
    assert [short_name(name) for name in store.names()] == ["Me/other:latest"]


def test_of_two_spellings_the_exact_one_wins(store: Store) -> None:
    put(store, "Mini")
    folder = store.manifests / "registry.ollama.ai/library"
    (folder / "mini").mkdir()
    (folder / "mini/latest").write_bytes((folder / "Mini/latest").read_bytes())
    (folder / "mini/only").write_bytes((folder / "Mini/latest").read_bytes())
    assert store.resolve(parse_name("Mini")).model == "Mini"
    assert store.resolve(parse_name("mini")).model == "mini"
    assert store.resolve(parse_name("MINI:ONLY")) == parse_name("mini:only")


@pytest.mark.parametrize(
    "digest", ["", "sha256:../../../etc/passwd", f"sha256-{HEX}0", f"sha256%3A{HEX}", "sha256:12"]
)
def test_no_digest_leads_out_of_the_blobs(store: Store, digest: str) -> None:
    with pytest.raises(BadRequestError, match="invalid digest format"):
        store.blob_path(digest)
    with pytest.raises(BadRequestError, match="invalid digest format"):
        store.has_blob(digest)
    with pytest.raises(BadRequestError, match="invalid digest format"):
        asyncio.run(store.receive_blob(digest, stream(b"x")))
    bad = Layer("m", digest, 1)
    good = store.write_blob(b"{}", "c")
    for config, layers in ((bad, ()), (good, (bad,)), (good, (good, bad))):
        with pytest.raises(BadRequestError):
            store.write_manifest(parse_name("x"), encode_manifest(config, layers))
    assert store.names() == ()


def test_a_stream_is_stored_once_its_digest_is_right(store: Store) -> None:
    data = os.urandom(3 << 20)
    pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]
    assert asyncio.run(store.receive_blob(digest_of(data), stream(*pieces))) is True
    assert store.blob_path(digest_of(data)).read_bytes() == data
    assert asyncio.run(store.receive_blob(digest_of(data), stream())) is False
    assert asyncio.run(store.receive_blob(digest_of(b""), stream())) is True


def test_a_stream_with_another_digest_leaves_nothing(store: Store) -> None:
    wanted = f"sha256:{HEX}"
    with pytest.raises(BadRequestError) as caught:
        asyncio.run(store.receive_blob(wanted, stream(b"ab", b"c")))
    assert str(caught.value) == (f'digest mismatch, expected "{wanted}", got "{digest_of(b"abc")}"')
    assert files_of(store.root) == set()


def test_a_sender_that_breaks_off_leaves_nothing(store: Store) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (2 << 20)
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        asyncio.run(store.receive_blob(f"sha256:{HEX}", broken()))
    assert files_of(store.root) == set()


def test_a_cancelled_upload_leaves_nothing(store: Store) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * (1 << 20)
            await asyncio.sleep(0.01)

    async def cancel() -> None:
        task = asyncio.create_task(store.receive_blob(f"sha256:{HEX}", endless()))
        await asyncio.sleep(0.1)
        assert files_of(store.root)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert files_of(store.root) == set()


def test_a_file_is_taken_in_and_left_alone(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "x.gguf"
    source.write_bytes(os.urandom(3 << 20))
    layer = store.add_file(source, MODEL_TYPE)
    assert layer == Layer(MODEL_TYPE, digest_of(source.read_bytes()), 3 << 20)
    blob = store.blob_path(layer.digest)
    assert not blob.samefile(source)
    with source.open("r+b") as file:
        file.write(b"edited in place")
    assert digest_of(blob.read_bytes()) == layer.digest
    source.write_bytes(blob.read_bytes())
    before = blob.stat().st_ino
    assert store.add_file(source, MODEL_TYPE) == layer
    assert blob.stat().st_ino == before
    assert len(files_of(store.root)) == 1


def test_only_files_are_taken_in(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in [
        (tmp_path / "absent", "No such file"),
        (tmp_path, "is not a file"),
        (tmp_path / "pipe", "is not a file"),
        (Path("/dev/zero"), "is not a file"),
    ]:
        with pytest.raises(BadRequestError, match=words):
            store.add_file(path, MODEL_TYPE)


def test_a_manifest_needs_its_blobs(store: Store) -> None:
    here = store.write_blob(b"{}", "c")
    absent = Layer("m", f"sha256:{HEX}", 1)
    with pytest.raises(StoreError, match="is missing from"):
        store.write_manifest(parse_name("x"), encode_manifest(here, (absent,)))
    assert store.names() == ()


def test_deleting_removes_what_no_other_model_has(store: Store) -> None:
    put(store, "a", b"{}", b"shared", b"only a")
    put(store, "b", b"{}", b"shared")
    assert store.delete(parse_name("a")) == (digest_of(b"only a"),)
    assert store.has_blob(digest_of(b"shared"))
    assert {path for path in files_of(store.root) if "/a/" in path} == set()
    assert not (store.manifests / "registry.ollama.ai/library/a").exists()
    assert set(store.delete(parse_name("b"))) == {digest_of(b"shared"), digest_of(b"{}")}
    assert files_of(store.root) == set()
    assert list(store.manifests.iterdir()) == []


def test_a_copy_keeps_the_layers_alive(store: Store) -> None:
    put(store, "a")
    store.copy(parse_name("a"), parse_name("b/c:d"))
    assert store.delete(parse_name("a")) == ()
    assert [short_name(name) for name in store.names()] == ["b/c:d"]
    with pytest.raises(NotFoundError):
        store.copy(parse_name("a"), parse_name("e"))
    store.copy(parse_name("b/c:d"), parse_name("b/c:d"))


def test_r5_a_download_that_was_left_may_be_gone_on_with_for_a_day(store: Store) -> None:
    put(store, "a")
    left = [store.blobs / f"sha256-{HEX}-partial", store.blobs / f"sha256-{HEX}-partial-0"]
    for path in left:
        path.write_bytes(b"a part")
        age(path, 23 * 3600)
    assert store.prune() == ()
    assert all(path.exists() for path in left)


def test_prune_takes_what_is_old_and_unused(store: Store) -> None:
    put(store, "a", b"{}", b"used")
    old = [
        store.blob_path(store.write_blob(b"unused", "m").digest),
        store.blobs / f"sha256-{HEX}-partial",
        store.blobs / ".tmp-left",
        store.blobs / "readme.txt",
        store.manifests / "registry.ollama.ai/library/a/.tmp-left",
    ]
    for path in old:
        path.write_bytes(b"unused")
        age(path, 25 * 3600)
    young = store.blob_path(store.write_blob(b"just sent", "m").digest)
    for path in store.blobs.iterdir():
        if path not in {young, *old}:
            age(path)
    empty = store.manifests / "host/ns/model"
    empty.mkdir(parents=True)
    assert set(store.prune()) == {path.name for path in old}
    assert not any(path.exists() for path in old)
    assert not empty.exists()
    assert young.exists()
    assert store.has_blob(digest_of(b"used"))
    assert store.prune() == ()


def test_old_blob_names_are_brought_up_to_date(store: Store) -> None:
    layer = store.write_blob(b"{}", "c")
    put(store, "a", b"{}")
    path = store.blob_path(layer.digest)
    path.rename(path.with_name(layer.digest))
    age(path.with_name(layer.digest))
    assert store.prune() == ()
    assert path.exists()


@pytest.mark.parametrize("data", [b"", b'{"schemaVersion":2,"conf', b"[]"])
def test_a_damaged_manifest_stops_every_removal(store: Store, data: bytes) -> None:
    put(store, "a")
    put(store, "b")
    path = store.manifests / "registry.ollama.ai/library/a/latest"
    path.write_bytes(data)
    for blob in store.blobs.iterdir():
        age(blob)
    before = files_of(store.root)
    assert store.prune() == ()
    assert files_of(store.root) == before
    assert [short_name(model.name) for model in store.models()] == ["b:latest"]
    assert [damaged.name.model for damaged in store.damaged()] == ["a"]
    with pytest.raises(StoreError, match="the manifest of a:latest is damaged"):
        store.manifest(parse_name("a"))
    assert store.find(parse_name("a")) is None
    assert store.delete(parse_name("b")) == ()
    assert store.delete(parse_name("a")) == ()
    assert store.names() == ()
    assert len(store.prune(age=3600)) > 0


def test_strangers_among_the_manifests_are_passed_over(store: Store) -> None:
    put(store, "a")
    (store.manifests / ".DS_Store").write_bytes(b"x")
    (store.manifests / "registry.ollama.ai/stray").write_bytes(b"x")
    (store.manifests / "registry.ollama.ai/library/a/folder").mkdir()
    (store.manifests / "registry.ollama.ai/library/a/.hidden").write_bytes(b"x")
    (store.manifests / "registry.ollama.ai/library/a/not a tag").write_bytes(b"x")
    assert [short_name(name) for name in store.names()] == ["a:latest"]
    assert store.damaged() == ()
    with pytest.raises(NotFoundError):
        store.manifest(parse_name("a:folder"))


def test_nothing_is_removed_while_a_model_is_being_made(store: Store) -> None:
    put(store, "a")
    other = Store(store.root)
    with store.creating():
        fresh = store.write_blob(b"fresh", "m")
        age(store.blob_path(fresh.digest))
        assert other.prune() == ()
        assert other.delete(parse_name("a")) == ()
        assert store.has_blob(fresh.digest)
    assert len(other.prune(age=-1)) == 3


def test_a_blob_that_is_missing_or_too_long_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match=f"sha256-{HEX} is missing from"):
        store.read_blob(f"sha256:{HEX}", 10)
    layer = store.write_blob(b"x" * 11, "m")
    with pytest.raises(StoreError, match="is larger than 10 bytes"):
        store.read_blob(layer.digest, 10)
    assert store.read_blob(layer.digest, 11) == b"x" * 11

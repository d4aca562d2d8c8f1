"""Uploads to a registry that breaks off, forgets, redirects and refuses."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_maker import make, put
from upload_registry import UploadRegistry, upload_registry

from ayllu.config import Settings, load_settings
from ayllu.errors import AylluError, BadRequestError, ForbiddenError, NotFoundError, StoreError
from ayllu.models.create import CreateRequest, Progress
from ayllu.models.extra import extra_shelves
from ayllu.models.manifest import digest_of
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.registry.client import Registries
from ayllu.registry.push import Push, push
from ayllu.registry.upload import Limits

MIB = 1 << 20
BIG = os.urandom(3 * MIB + 12345)
QUICK = Limits(chunk=MIB, stall=20, backoff=0.01, tries=3)


@pytest.fixture
def registry() -> Iterator[UploadRegistry]:
    with upload_registry() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = {"AYLLU_HOME": str(tmp_path / "home"), "AYLLU_REGISTRIES": "127.0.0.1"}
    return load_settings(home | {"AYLLU_EXTRA_MODELS": str(tmp_path / "extra")})


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.models, extra_shelves(settings))


def run(
    store: Store, settings: Settings, name: str, *, insecure: bool = True, limits: Limits = QUICK
) -> list[Progress]:
    """Push to the end."""

    async def lines() -> list[Progress]:
        registries = Registries(settings)
        try:
            wanted = Push(name, insecure=insecure, limits=limits)
            return [line async for line in push(store, registries, wanted)]
        finally:
            await registries.close()

    return asyncio.run(lines())


def named(registry: UploadRegistry) -> str:
    return f"{registry.host}/me/model"


def test_a_model_is_sent_and_its_manifest_last(
    registry: UploadRegistry, store: Store, settings: Settings
) -> None:
    stored = put(store, named(registry), b"{}", BIG)
    lines = run(store, settings, named(registry))
    statuses = list(dict.fromkeys(line.status for line in lines))
    labels = [f"pushing {digest[7:19]}" for digest in stored.digests]
    assert statuses == ["retrieving manifest", *labels, "pushing manifest", "success"]
    for digest, size in zip(stored.digests, (len(BIG), 2), strict=True):
        progress = [line for line in lines if line.digest == digest]
        assert {line.total for line in progress} == {size}
        assert [line.completed for line in progress] == sorted(line.completed for line in progress)
        assert progress[-1].completed == size
    assert set(registry.blobs) == set(stored.digests)
    [data] = registry.manifests.values()
    assert data == store.manifest_bytes(stored.name)
    assert registry.asked[-1][:2] == ("PUT", "/v2/me/model/manifests/latest")
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    assert registry.asked[-1][2]["Content-Type"] == media_type
    ranges = [
        headers["Content-Range"] for method, _, headers in registry.asked if method == "PATCH"
    ]
    assert ranges[:2] == [f"0-{MIB - 1}", f"{MIB}-{2 * MIB - 1}"]
    before = registry.received
    run(store, settings, named(registry))
    assert registry.received == before


def test_what_a_broken_connection_brought_is_not_sent_again(
    registry: UploadRegistry, store: Store, settings: Settings
) -> None:
    registry.cut = [MIB // 2, 2 * MIB + 1000, 3 * MIB]
    put(store, named(registry), b"{}", BIG)
    run(store, settings, named(registry))
    assert registry.cut == []
    assert registry.blobs[digest_of(BIG)] == BIG
    assert registry.received == len(BIG) + 2
    assert registry.count("GET") == 3


def test_an_upload_that_is_lost_begins_again(
    registry: UploadRegistry, store: Store, settings: Settings
) -> None:
    registry.lose = 1
    put(store, named(registry), b"{}", BIG)
    run(store, settings, named(registry))
    assert registry.blobs[digest_of(BIG)] == BIG


def test_one_that_never_gets_on_ends(
    registry: UploadRegistry, store: Store, settings: Settings
) -> None:
    registry.lose = 100
    put(store, named(registry), b"{}", BIG)
    with pytest.raises(AylluError, match="has lost the upload"):
        run(store, settings, named(registry), limits=Limits(chunk=MIB, backoff=0, tries=2))
    assert not registry.manifests


def test_chunks_go_to_a_storage_service_without_a_token(
    registry: UploadRegistry, store: Store, settings: Settings
) -> None:
    registry.redirects = True
    put(store, named(registry), b"{}", BIG)
    run(store, settings, named(registry))
    assert registry.blobs[digest_of(BIG)] == BIG
    stored = [headers for method, path, headers in registry.asked if path.startswith("/storage/")]
    assert len(stored) == 5
    assert not any("Authorization" in headers for headers in stored)
    parts = [hashlib.md5(BIG[at : at + MIB]).digest() for at in range(0, len(BIG), MIB)]  # noqa: S324 - S3's etag
    etag = f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"  # noqa: S324 - the same
    assert any(f"etag={etag}" in path for method, path, _ in registry.asked if method == "PUT")


def test_a_redirect_to_a_private_address_is_not_followed(
    registry: UploadRegistry, store: Store, settings: Settings
) -> None:
    registry.redirects, registry.storage = True, "http://10.255.255.1/storage"
    put(store, named(registry), b"{}", BIG)
    with pytest.raises(ForbiddenError, match="is on a private address"):
        run(store, settings, named(registry))
    assert not registry.blobs


def test_layers_of_another_model_are_mounted(
    registry: UploadRegistry, store: Store, settings: Settings
) -> None:
    registry.elsewhere[digest_of(BIG)] = BIG
    put(store, f"{registry.host}/me/source", b"{}", BIG)
    make(store, named(registry), CreateRequest(from_=f"{registry.host}/me/source", system="Hi."))
    run(store, settings, named(registry))
    assert registry.blobs[digest_of(BIG)] == BIG
    assert registry.received < 1000
    put(store, f"{registry.host}/me/other", b"{}", BIG)
    make(store, named(registry), CreateRequest(from_=f"{registry.host}/me/other"))
    del registry.blobs[digest_of(BIG)]
    run(store, settings, named(registry))
    assert registry.received > len(BIG)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_says_whose_namespace_it_is(
    registry: UploadRegistry, store: Store, settings: Settings, status: int
) -> None:
    registry.refuse = status
    put(store, named(registry), b"{}", BIG)
    with pytest.raises(ForbiddenError) as caught:
        run(store, settings, named(registry))
    if status == 403:
        assert "not yours" in caught.value.sentence
        assert "create the model under a namespace you own" in caught.value.sentence
    assert not registry.manifests


def test_a_file_that_is_not_what_its_name_says_is_not_kept_there(
    registry: UploadRegistry, store: Store, settings: Settings
) -> None:
    put(store, named(registry), b"{}", BIG)
    blob = store.blob_path(digest_of(BIG))
    with blob.open("r+b") as file:
        file.seek(2 * MIB)
        file.write(b"damaged")
    with pytest.raises(StoreError, match="is damaged: what was read of it is sha256:"):
        run(store, settings, named(registry))
    assert registry.blobs == {}
    os.truncate(blob, MIB + 5)
    with pytest.raises(StoreError, match="became shorter while it was sent"):
        run(store, settings, named(registry))
    blob.unlink()
    with pytest.raises(BadRequestError, match="is incomplete: get it again"):
        run(store, settings, named(registry))
    assert registry.blobs == registry.manifests == {}


def test_a_model_of_a_folder_is_copied_before_it_is_sent(
    registry: UploadRegistry, store: Store, settings: Settings, chat_gguf: Path
) -> None:
    [folder] = settings.extra_models
    folder.mkdir()
    shutil.copyfile(chat_gguf, folder / "x.gguf")
    with pytest.raises(BadRequestError, match="has no digests where it lies: copy it"):
        run(store, settings, "x")
    store.copy(parse_name("x"), parse_name(named(registry)))
    run(store, settings, named(registry))
    assert registry.blobs[digest_of(chat_gguf.read_bytes())] == chat_gguf.read_bytes()


def test_a_model_of_another_store_is_sent_from_there(
    registry: UploadRegistry, store: Store, settings: Settings
) -> None:
    [folder] = settings.extra_models
    put(Store(folder), named(registry), b"{}", BIG)
    run(store, settings, named(registry))
    assert registry.blobs[digest_of(BIG)] == BIG
    assert not (store.root / "blobs").exists()


@pytest.mark.parametrize(
    ("name", "insecure", "error", "words"),
    [
        ("absent", False, NotFoundError, "model 'absent:latest' not found"),
        ("http://HOST/me/model", False, BadRequestError, "insecure protocol http"),
        ("a b", False, BadRequestError, "invalid model name"),
        ("10.0.0.1/me/model", True, ForbiddenError, "add it to AYLLU_REGISTRIES"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(
    registry: UploadRegistry,
    store: Store,
    settings: Settings,
    name: str,
    insecure: bool,
    error: type[AylluError],
    words: str,
) -> None:
    put(store, named(registry))
    put(store, "10.0.0.1/me/model")
    with pytest.raises(error, match=words):
        run(store, settings, name.replace("HOST", registry.host), insecure=insecure)
    assert registry.asked == []

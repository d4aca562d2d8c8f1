from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from model_maker import files_of, put
from packages import make_assets

from ayllu.errors import AylluError, BadRequestError, StoreError
from ayllu.models.name import parse_name
from ayllu.models.shelf import PackagedShelf
from ayllu.models.store import Store
from ayllu.registry.restore import find_shelved, restore

MINI = parse_name("mini")


@pytest.fixture
def store(tmp_path: Path, chat_gguf: Path) -> Store:
    assets = make_assets(tmp_path / "assets", mini=chat_gguf)
    return Store(tmp_path / "models", [PackagedShelf(assets)])


def pulled(store: Store, name: str) -> list[dict[str, object]]:
    async def run() -> list[dict[str, object]]:
        shelved = find_shelved(store, parse_name(name))
        assert shelved is not None
        return [msgspec.to_builtins(line) async for line in restore(store, shelved)]

    return asyncio.run(run())


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("name", ["mini", "MINI:latest", "registry.ollama.ai/library/mini"])
def test_it_is_told_in_ollamas_words(store: Store, name: str, hidden: bool) -> None:
    stored = store.manifest(MINI)
    if hidden:
        store.delete(MINI)
    layers = (*stored.manifest.layers, stored.manifest.config)
    assert pulled(store, name) == [
        {"status": "pulling manifest"},
        *(
            {
                "status": f"pulling {layer.digest[7:19]}",
                "digest": layer.digest,
                "total": layer.size,
                "completed": layer.size,
            }
            for layer in layers
        ),
        {"status": "verifying sha256 digest"},
        {"status": "writing manifest"},
        {"status": "success"},
    ]
    assert store.manifest(MINI) == stored
    assert files_of(store.root) == set()


@pytest.mark.parametrize("name", ["llama3.2", "mini:1b", "me/mini", "hf.co/me/mini"])
def test_other_models_are_on_no_shelf(store: Store, name: str) -> None:
    assert find_shelved(store, parse_name(name)) is None


def test_a_model_of_the_users_own_is_not_lost(store: Store) -> None:
    store.delete(MINI)
    own = put(store, "mini", b"{}", b"mine")
    with pytest.raises(BadRequestError, match=r"^model 'mini:latest' is one of your own"):
        pulled(store, "mini")
    assert store.manifest(MINI) == own
    store.delete(MINI)
    assert store.names() == ()
    pulled(store, "mini")
    store.copy(MINI, parse_name("foo"))
    store.copy(parse_name("foo"), parse_name("mini"))
    assert pulled(store, "mini")[-1] == {"status": "success"}


def test_a_damaged_manifest_of_the_users_own_is_told(store: Store) -> None:
    put(store, "mini")
    (store.manifests / "registry.ollama.ai/library/mini/latest").write_bytes(b"{")
    with pytest.raises(StoreError, match="is damaged"):
        pulled(store, "mini")


@pytest.mark.parametrize(
    ("file", "data", "words"),
    [
        ("mini-f16.gguf", b"GGUF", r"mini-f16\.gguf is damaged: install Ayllu again"),
        ("mini.config.json", None, r"is missing: install Ayllu again"),
    ],
)
def test_a_damaged_package_is_not_brought_back(
    store: Store, tmp_path: Path, file: str, data: bytes | None, words: str
) -> None:
    store.delete(MINI)
    path = tmp_path / "assets" / file
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(AylluError, match=words):
        pulled(store, "mini")
    assert store.names() == ()

"""Models that ship inside the package, in a store that has none of their bytes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from mini.package import PARAMETERS
from model_maker import age, files_of, make, put
from packages import make_assets

from ayllu.errors import NotFoundError, StoreError
from ayllu.models.create import CreateRequest
from ayllu.models.describe import capabilities
from ayllu.models.manifest import digest_of
from ayllu.models.model import Model, open_model, read_config
from ayllu.models.name import parse_name, short_name
from ayllu.models.shelf import PackagedShelf
from ayllu.models.store import Store
from ayllu.runner.fit import model_facts

MINI = parse_name("mini")
HIDDEN = ".ayllu.hidden/registry.ollama.ai/library/mini/latest"


@pytest.fixture
def assets(tmp_path: Path, chat_gguf: Path, base_gguf: Path) -> Path:
    return make_assets(tmp_path / "assets", mini=chat_gguf, mini_draft=base_gguf)


@pytest.fixture
def store(tmp_path: Path, assets: Path) -> Store:
    return Store(tmp_path / "models", [PackagedShelf(assets)])


def shown(store: Store) -> list[str]:
    return sorted(short_name(name).removesuffix(":latest") for name in store.names())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def without_shelves(store: Store) -> Store:
    """The folder as another program sees it, or Ayllu once the models ship no more."""
    return Store(store.root)


def is_whole(model: Model, store: Store) -> bool:
    """Whether all of a model lies in the store itself, with the digests that the names say."""
    manifest = store.manifest(model.name).manifest
    return model.path.parent == store.blobs and all(
        digest_of(store.blob_path(layer.digest).read_bytes()) == layer.digest
        for layer in (manifest.config, *manifest.layers)
    )


def test_a_new_store_has_them_without_a_byte_of_its_own(store: Store, assets: Path) -> None:
    assert shown(store) == ["mini", "mini-draft"]
    assert {model.name.model for model in store.models()} == {"mini", "mini-draft"}
    model = open_model(store, MINI)
    assert model.path == assets / "mini-f16.gguf"
    assert model.params == PARAMETERS["mini"]
    assert model.licenses[0].startswith("MIT License")
    assert model.config.model_family == "llama"
    assert model.template is None
    parts = ("mini-f16.gguf", "mini.config.json", "mini.params.json", "LICENSE")
    assert model.size == sum((assets / name).stat().st_size for name in parts)
    assert model.modified_at == (assets / "mini.manifest.json").stat().st_mtime_ns
    assert not store.root.exists()


def test_a_list_does_not_look_at_the_ggufs(store: Store, assets: Path) -> None:
    for gguf in assets.glob("*.gguf"):
        gguf.unlink()
    models = {model.name.model: model for model in store.models()}
    assert models.keys() == {"mini", "mini-draft"}
    assert models["mini"].size > 1_000_000
    assert read_config(store, models["mini"]).context_length == 512
    with pytest.raises(StoreError, match="incomplete"):
        open_model(store, MINI)


@pytest.mark.parametrize("make_folder", [True, False])
def test_a_package_without_models_has_none(tmp_path: Path, make_folder: bool) -> None:
    if make_folder:
        (tmp_path / "assets").mkdir()
    store = Store(tmp_path / "models", [PackagedShelf(tmp_path / "assets")])
    assert store.names() == ()
    assert not store.has_blob(digest_of(b"x"))
    with pytest.raises(NotFoundError):
        store.manifest(MINI)


def test_a_damaged_manifest_is_told_and_spoils_nothing_else(store: Store, assets: Path) -> None:
    (assets / "mini.manifest.json").write_bytes(b'{"schemaVersion":2,"conf')
    assert [damaged.name for damaged in store.damaged()] == [MINI]
    assert [model.name.model for model in store.models()] == ["mini-draft"]
    with pytest.raises(StoreError, match="the manifest of mini:latest is damaged"):
        store.manifest(MINI)
    put(store, "a")
    for blob in store.blobs.iterdir():
        age(blob)
    assert len(store.delete(parse_name("a"))) == 2
    assert open_model(store, parse_name("mini-draft")).size


def test_names_match_in_any_case(store: Store) -> None:
    assert store.resolve(parse_name("MINI:Latest")) == MINI
    assert store.manifest(parse_name("Mini-Draft")).name == parse_name("mini-draft")
    store.delete(parse_name("mInI"))
    assert shown(store) == ["mini-draft"]
    assert Store(store.root, store.shelves._shelves).find(parse_name("MINI")) is None


@pytest.mark.parametrize("name", ["mini", "MINI"])
def test_a_model_of_the_users_own_comes_before_them(store: Store, name: str) -> None:
    first = Store(store.root)  # so that it is spelled as the user spells it
    own = put(first, name, b"{}", b"mine")
    assert shown(store) == [name, "mini-draft"]
    assert store.manifest(MINI) == own
    assert [model.digest for model in store.models()].count(own.digest) == 1
    assert put(store, "mini", b"{}", b"newer").name == own.name
    assert len(store.delete(MINI)) == 2
    assert shown(store) == ["mini", "mini-draft"]
    assert store.manifest(MINI).digest != own.digest


def test_deleting_hides_one_name_for_good(store: Store, assets: Path) -> None:
    before = contents(assets)
    assert store.delete(MINI) == ()
    for same in (store, Store(store.root, [PackagedShelf(assets)])):
        assert shown(same) == ["mini-draft"]
        assert same.find(MINI) is None
        assert [model.name.model for model in same.models()] == ["mini-draft"]
        with pytest.raises(NotFoundError):
            same.delete(MINI)
    assert files_of(store.root) == {HIDDEN}
    assert contents(assets) == before
    store.prune(age=-1)
    assert files_of(store.root) == {HIDDEN}
    store.shelves.show(MINI)
    store.shelves.show(MINI)
    assert shown(store) == ["mini", "mini-draft"]
    assert files_of(store.root) == set()


def test_one_that_was_hidden_stays_so_behind_a_model_of_the_users_own(store: Store) -> None:
    store.delete(MINI)
    own = put(store, "Mini", b"{}", b"mine")
    assert own.name == parse_name("Mini")
    assert shown(store) == ["Mini", "mini-draft"]
    store.delete(MINI)
    assert shown(store) == ["mini-draft"]


def test_a_copy_outlives_the_package(store: Store) -> None:
    mini = store.manifest(MINI)
    copy = store.copy(MINI, parse_name("foo"))
    assert copy.digest == mini.digest
    left = without_shelves(store)
    assert shown(left) == ["foo"]
    assert is_whole(open_model(left, copy.name), left)
    assert open_model(left, copy.name).params == PARAMETERS["mini"]


def test_a_model_made_from_one_outlives_the_package(store: Store) -> None:
    statuses = make(store, "foo", CreateRequest(from_="MINI", system="Be kind."))
    assert statuses[-1] == "success"
    left = without_shelves(store)
    model = open_model(left, parse_name("foo"))
    assert is_whole(model, left)
    assert (model.system, model.parent) == ("Be kind.", "mini:latest")


def test_a_file_that_the_package_has_needs_no_upload(store: Store, assets: Path) -> None:
    digest = digest_of((assets / "mini-f16.gguf").read_bytes())
    assert store.has_blob(digest)
    assert store.blob_path(digest) == assets / "mini-f16.gguf"
    make(store, "foo", CreateRequest(files={"x.gguf": digest}))
    left = without_shelves(store)
    assert is_whole(open_model(left, parse_name("foo")), left)


def test_a_copy_that_goes_takes_only_its_own_bytes(store: Store, assets: Path) -> None:
    before = contents(assets)
    store.copy(MINI, parse_name("foo"))
    store.copy(MINI, parse_name("bar"))
    assert store.delete(parse_name("foo")) == ()
    assert len(store.delete(parse_name("bar"))) == 4
    assert files_of(store.root) == set()
    store.copy(MINI, parse_name("foo"))
    (store.manifests / "registry.ollama.ai/library/foo/latest").unlink()
    assert len(store.prune(age=-1)) == 4
    assert contents(assets) == before
    assert open_model(store, MINI).path == assets / "mini-f16.gguf"


def test_a_copy_onto_itself_writes_nothing(store: Store) -> None:
    assert store.copy(MINI, parse_name("MINI")) == store.manifest(MINI)
    assert not store.root.exists()


def test_an_upgrade_changes_the_model_and_not_its_copies(
    store: Store, tmp_path: Path, tool_gguf: Path
) -> None:
    old = store.copy(MINI, parse_name("foo"))
    newer = make_assets(tmp_path / "newer", mini=tool_gguf)
    upgraded = Store(store.root, [PackagedShelf(newer)])
    assert shown(upgraded) == ["foo", "mini"]
    assert open_model(upgraded, MINI).path == newer / "mini-f16.gguf"
    assert upgraded.manifest(MINI).digest != old.digest
    assert is_whole(open_model(upgraded, parse_name("foo")), upgraded)


def test_an_upgrade_below_a_running_server_is_seen(
    store: Store, assets: Path, tmp_path: Path, tool_gguf: Path
) -> None:
    old = open_model(store, MINI)
    assert capabilities(old) == ("completion",)
    facts = model_facts(old.path, "f16")
    newer = make_assets(tmp_path / "newer", mini=tool_gguf)
    for path in newer.iterdir():
        before = (assets / path.name).stat()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as some installers do
        path.replace(assets / path.name)
    new = open_model(store, MINI)
    assert new.digest != old.digest
    assert new.path == old.path
    assert capabilities(new) == ("completion", "tools", "thinking")
    assert model_facts(new.path, "f16") != facts
    assert new.size != old.size
    assert is_whole(open_model(store, store.copy(MINI, parse_name("foo")).name), store)


def test_a_damaged_file_is_not_taken_in(store: Store, assets: Path) -> None:
    with (assets / "mini-f16.gguf").open("r+b") as file:
        file.write(b"XXXX")
    with pytest.raises(StoreError, match=r"mini-f16\.gguf is damaged: it has another"):
        store.copy(MINI, parse_name("foo"))
    assert shown(store) == ["mini", "mini-draft"]
    shutil.rmtree(assets)
    with pytest.raises(NotFoundError):
        store.copy(MINI, parse_name("foo"))

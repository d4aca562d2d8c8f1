"""Folders that are only read: what is found in them, and what never happens to them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from gguf_maker import make_successor_model
from gguf_splitter import split
from model_maker import make, put
from projector_maker import make_projector

from ayllu.config import Settings, load_settings
from ayllu.errors import BadRequestError, NotFoundError
from ayllu.models.create import CreateRequest
from ayllu.models.describe import capabilities, show
from ayllu.models.extra import extra_report, extra_shelves
from ayllu.models.gguf_shelf import UNHASHED
from ayllu.models.manifest import MODEL_TYPE, PROJECTOR_TYPE, digest_of
from ayllu.models.model import Model, open_model, read_config
from ayllu.models.name import parse_name, short_name
from ayllu.models.shelf import PackagedShelf
from ayllu.models.store import Store
from ayllu.runner.fit import model_facts

ZEPHYR = "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% endfor %}<|user|><|assistant|>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "others"
    path.mkdir()
    return path


def settings(tmp_path: Path, *folders: Path) -> Settings:
    paths = ",".join(map(str, folders))
    return load_settings({"AYLLU_HOME": str(tmp_path / "home"), "AYLLU_EXTRA_MODELS": paths})


def store_with(tmp_path: Path, *folders: Path) -> Store:
    """A store as a start of the server makes it."""
    return Store(tmp_path / "models", extra_shelves(settings(tmp_path, *folders)))


def shown(store: Store) -> list[str]:
    return sorted(short_name(model.name) for model in store.models())


def wrong(tmp_path: Path, folder: Path) -> list[str]:
    [(_, sentences)] = extra_report(settings(tmp_path, folder))
    return list(sentences)


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What would change if anything were written."""
    paths = [folder, *folder.rglob("*")]
    facts = {str(path): path.lstat() for path in paths}
    return {path: (one.st_mtime_ns, one.st_size, one.st_ino) for path, one in facts.items()}


def test_a_folder_of_ggufs_is_listed_and_opened_where_it_lies(
    tmp_path: Path, folder: Path, chat_gguf: Path
) -> None:
    for place in ("Some Model.Q8_0.gguf", "sub/other.gguf", "publisher/repo/x-Q4_K_M.gguf"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(chat_gguf, folder / place)
    (folder / "notes.txt").write_text("no model")
    before = snapshot(folder)
    store = store_with(tmp_path, folder)
    names = ["Some-Model.Q8_0:latest", "hf.co/publisher/repo:Q4_K_M", "sub/other:latest"]
    assert shown(store) == names
    model = open_model(store, parse_name("SUB/other"))
    assert model.path == folder / "sub/other.gguf"
    assert model.modified_at == model.path.stat().st_mtime_ns
    assert model.config == read_config(store, store.manifest(model.name))
    assert (model.config.model_family, model.config.context_length) == ("llama", 512)
    assert "completion" in capabilities(model)
    assert str(model.path) in (show(model).modelfile or "")
    assert snapshot(folder) == before
    assert not (tmp_path / "models").exists()


def test_such_a_model_is_what_create_would_make_of_it(tmp_path: Path, folder: Path) -> None:
    make_successor_model(folder / "m.gguf", chat_template=ZEPHYR)
    store = store_with(tmp_path, folder)
    own = Store(tmp_path / "own")
    layer = own.add_file(folder / "m.gguf", MODEL_TYPE)
    assert "using autodetected template zephyr" in make(
        own, "m", CreateRequest(files={"m.gguf": layer.digest})
    )
    ours, theirs = (open_model(one, parse_name("m")) for one in (own, store))
    assert ours.template is not None
    for field in ("template", "params", "config", "messages", "system", "size"):
        assert getattr(theirs, field) == getattr(ours, field)


def test_no_byte_of_a_model_is_read_to_list_it(
    tmp_path: Path, folder: Path, chat_gguf: Path
) -> None:
    """The file claims 70 GB; a hole in it would take minutes to read."""
    tail = 70 << 30
    shutil.copyfile(chat_gguf, folder / "huge.gguf")
    os.truncate(folder / "huge.gguf", tail)
    assert store_with(tmp_path, folder).models()[0].size > tail
    facts = (folder / "huge.gguf").stat()
    with (folder / "huge.gguf").open("r+b") as file:
        file.write(bytes(1000))
    os.utime(folder / "huge.gguf", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    [again] = store_with(tmp_path, folder).models()
    assert again.size > tail
    index = next((tmp_path / "home/extra").iterdir())
    assert "huge.gguf" in json.loads(index.read_bytes())["facts"]
    index.write_bytes(b"{damaged")
    assert store_with(tmp_path, folder).models() == ()
    assert "huge.gguf is not a GGUF file" in wrong(tmp_path, folder)[0]


def test_the_digest_of_a_file_is_told_apart_from_a_true_one(
    tmp_path: Path, folder: Path, chat_gguf: Path
) -> None:
    path = folder / "m.gguf"
    shutil.copyfile(chat_gguf, path)
    store = store_with(tmp_path, folder)
    name = parse_name("m")
    before = store.manifest(name)
    [model] = [one for one in before.manifest.layers if one.media_type == MODEL_TYPE]
    written = json.loads(store.manifest_bytes(name))["layers"]
    assert [layer["annotations"][UNHASHED] for layer in written if "annotations" in layer] == [
        "true"
    ]
    assert not store.shelves.is_hashed(model.digest)
    assert store.shelves.is_hashed(before.manifest.config.digest)
    assert digest_of(store.read_blob(before.manifest.config.digest, 1 << 20)) == (
        before.manifest.config.digest
    )
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert store.manifest(name).digest != before.digest
    copied = store.copy(name, parse_name("mine"))
    layers = {layer.media_type: layer for layer in copied.manifest.layers}
    assert layers[MODEL_TYPE].digest == digest_of(path.read_bytes())
    assert UNHASHED not in store.manifest_bytes(parse_name("mine")).decode()
    path.unlink()
    alone = Store(store.root)
    assert open_model(alone, parse_name("mine")).path.parent == alone.blobs
    assert all(alone.has_blob(digest) for digest in copied.digests)
    with pytest.raises(NotFoundError):
        store.manifest(name)


def test_a_model_made_from_one_of_them_is_whole(
    tmp_path: Path, folder: Path, chat_gguf: Path
) -> None:
    shutil.copyfile(chat_gguf, folder / "m.gguf")
    store = store_with(tmp_path, folder)
    make(store, "mine", CreateRequest(from_="m", system="Be kind."))
    shutil.rmtree(folder)
    model = open_model(Store(store.root), parse_name("mine"))
    assert model.system == "Be kind."
    assert digest_of(model.path.read_bytes()) == f"sha256:{model.path.name.removeprefix('sha256-')}"


def test_a_model_in_parts_is_one(tmp_path: Path, folder: Path, chat_gguf: Path) -> None:
    parts = split(chat_gguf, folder / "big")
    assert len(parts) > 1
    store = store_with(tmp_path, folder)
    assert shown(store) == ["big:latest"]
    model = open_model(store, parse_name("big"))
    assert model.path == parts[0]
    assert model.size >= sum(part.stat().st_size for part in parts)
    assert model_facts(model.path, "f16").weights == sum(part.stat().st_size for part in parts)
    whole = put_whole(tmp_path, chat_gguf)
    assert model.config.model_type == whole.config.model_type
    count = "general.parameter_count"
    assert show(model).model_info[count] == show(whole).model_info[count]
    assert len(show(model, verbose=True).tensors or ()) == len(
        show(whole, verbose=True).tensors or ()
    )
    with pytest.raises(BadRequestError, match=r"create NAME .* merges them"):
        store.copy(model.name, parse_name("mine"))
    assert shown(store) == ["big:latest"]
    parts[1].unlink()
    assert shown(store_with(tmp_path, folder)) == []
    assert f"{parts[1].name} is missing" in wrong(tmp_path, folder)[0]


def put_whole(tmp_path: Path, gguf: Path) -> Model:
    store = Store(tmp_path / "whole")
    layer = store.add_file(gguf, MODEL_TYPE)
    make(store, "whole", CreateRequest(files={"m.gguf": layer.digest}))
    return open_model(store, parse_name("whole"))


def test_a_projector_beside_a_model_is_its_own(
    tmp_path: Path, folder: Path, chat_gguf: Path
) -> None:
    shutil.copyfile(chat_gguf, folder / "seeing.gguf")
    make_projector(folder / "mmproj-f16.gguf")
    store = store_with(tmp_path, folder)
    model = open_model(store, parse_name("seeing"))
    assert model.projectors == (folder / "mmproj-f16.gguf",)
    assert "vision" in capabilities(model)
    assert model.config.model_families == ("llama", "clip")
    copied = store.copy(model.name, parse_name("mine"))
    assert {PROJECTOR_TYPE, MODEL_TYPE} <= {layer.media_type for layer in copied.manifest.layers}


def test_what_cannot_be_used_is_left_out_and_told(
    tmp_path: Path, folder: Path, chat_gguf: Path
) -> None:
    shutil.copyfile(chat_gguf, folder / "good.gguf")
    (folder / "text.gguf").write_text("no GGUF")
    (folder / "empty.gguf").touch()
    (folder / "cut.gguf").write_bytes(chat_gguf.read_bytes()[:-1000])
    (folder / "folder.gguf").mkdir()
    os.mkfifo(folder / "pipe.gguf")
    make_projector(folder / "alone.gguf")
    (folder / "gone.gguf").symlink_to(folder / "absent.gguf")
    (folder / "out.gguf").symlink_to(chat_gguf)
    (folder / "loop").symlink_to(folder)
    (folder / "itself.gguf").symlink_to(folder / "itself.gguf")
    (folder / os.fsdecode(b"\xff.gguf")).write_bytes(b"GGUF")
    (folder / "new\nline.gguf").write_bytes(b"GGUF")
    store = store_with(tmp_path, folder)
    assert shown(store) == ["good:latest"]
    told = "\n".join(wrong(tmp_path, folder))
    for words in (
        "text:latest",
        "empty:latest",
        "cut.gguf is truncated",
        "alone.gguf is no model",
        f"{folder}/out.gguf leads out of {folder}",
        r"has a file with a strange name: '\udcff.gguf'",
        r"'new\nline.gguf'",
    ):
        assert words in told


def test_a_link_that_stays_within_is_followed(
    tmp_path: Path, folder: Path, chat_gguf: Path
) -> None:
    """As in the cache of Hugging Face's own tools."""
    cached = folder / "models--user--repo"
    (cached / "blobs").mkdir(parents=True)
    shutil.copyfile(chat_gguf, cached / "blobs/0123")
    (cached / "snapshots/4567").mkdir(parents=True)
    (cached / "snapshots/4567/m-Q8_0.gguf").symlink_to("../../blobs/0123")
    store = store_with(tmp_path, folder)
    assert shown(store) == ["hf.co/user/repo:Q8_0"]
    assert open_model(store, parse_name("hf.co/user/repo:q8_0")).path.name == "m-Q8_0.gguf"


def test_folders_come_and_go(tmp_path: Path, folder: Path, chat_gguf: Path) -> None:
    store = store_with(tmp_path, folder, tmp_path / "never")
    assert shown(store) == []
    shutil.copyfile(chat_gguf, folder / "m.gguf")
    assert shown(store) == ["m:latest"]
    away = folder.rename(tmp_path / "unplugged")
    with pytest.raises(NotFoundError):
        open_model(store, parse_name("m"))
    assert shown(store) == []
    assert wrong(tmp_path, folder)[0].startswith(f"{folder} cannot be read")
    away.rename(folder)
    assert shown(store) == ["m:latest"]
    shutil.rmtree(folder)
    folder.write_bytes(b"a file in its place")
    assert shown(store) == []


def test_an_ollama_store_is_read_and_left_alone(
    tmp_path: Path, folder: Path, chat_gguf: Path
) -> None:
    theirs = Store(folder)
    put(theirs, "a")
    layer = theirs.add_file(chat_gguf, MODEL_TYPE)
    make(theirs, "me/chat:1b", CreateRequest(files={"x.gguf": layer.digest}, system="Hi."))
    blob = theirs.blob_path(layer.digest)
    blob.rename(blob.with_name(layer.digest))  # as old versions of Ollama called them
    (folder / "manifests/stray").write_bytes(b"x")
    (folder / "manifests/registry.ollama.ai/library/a/broken").write_bytes(b"{")
    before = snapshot(folder)
    store = store_with(tmp_path, folder)
    assert shown(store) == ["a:latest", "me/chat:1b"]
    model = open_model(store, parse_name("ME/Chat:1B"))
    assert (model.path, model.system) == (blob.with_name(layer.digest), "Hi.")
    assert store.manifest_bytes(model.name) == theirs.manifest_bytes(model.name)
    with pytest.raises(BadRequestError, match=f"lies in {folder}, which is only read"):
        store.delete(model.name)
    assert store.prune(age=-1) == ()
    assert snapshot(folder) == before
    copied = store.copy(model.name, parse_name("mine"))
    assert copied.digest == store.manifest(model.name).digest
    assert "a:broken in" in wrong(tmp_path, folder)[0]
    shutil.rmtree(folder)
    assert open_model(Store(store.root), parse_name("mine")).system == "Hi."


def test_ones_own_model_comes_first_and_folders_in_their_order(
    tmp_path: Path, folder: Path, chat_gguf: Path, base_gguf: Path
) -> None:
    second = tmp_path / "second"
    for place, gguf in ((folder, chat_gguf), (second, base_gguf)):
        place.mkdir(exist_ok=True)
        shutil.copyfile(gguf, place / "m.gguf")
    store = store_with(tmp_path, folder, second)
    assert open_model(store, parse_name("m")).path == folder / "m.gguf"
    put(store, "M", b"{}", b"mine")
    assert shown(store) == ["m:latest"]
    assert open_model(store, parse_name("m")).path.read_bytes() == b"mine"
    store.delete(parse_name("m"))
    assert open_model(store, parse_name("m")).path == folder / "m.gguf"
    with pytest.raises(BadRequestError, match="AYLLU_EXTRA_MODELS"):
        store.delete(parse_name("m"))


def test_a_folders_model_comes_before_one_of_the_package(
    tmp_path: Path, folder: Path, chat_gguf: Path
) -> None:
    shutil.copyfile(chat_gguf, folder / "mini.gguf")
    shelves = [*extra_shelves(settings(tmp_path, folder)), PackagedShelf()]
    store = Store(tmp_path / "models", shelves)
    assert open_model(store, parse_name("mini")).path == folder / "mini.gguf"
    shipped = store.shelved(parse_name("mini"))
    assert shipped is not None
    assert shipped.digest != store.manifest(parse_name("mini")).digest


@pytest.mark.parametrize(
    ("text", "count"),
    [("/a, /b", 2), ("/a:/b", 2), ("/a", 1), ("~/x:/b", 2), ("", 0), ("/a,/a", 1)],
)
def test_folders_are_named_in_one_setting(text: str, count: int) -> None:
    if os.pathsep != ":":
        text = text.replace(":/", f"{os.pathsep}/")
    paths = load_settings({"AYLLU_EXTRA_MODELS": text}).extra_models
    assert len(paths) == count
    assert all(path.is_absolute() for path in paths)


def test_a_folder_with_a_colon_in_its_name_is_one(tmp_path: Path) -> None:
    odd = tmp_path / "a:b"
    odd.mkdir()
    assert load_settings({"AYLLU_EXTRA_MODELS": str(odd)}).extra_models == (odd,)

"""A models folder as Ollama leaves it, made by hand: it is used as it is, and stays Ollama's."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from model_maker import age, files_of

from ayllu.models.manifest import digest_of
from ayllu.models.model import open_model
from ayllu.models.name import parse_name, short_name
from ayllu.models.store import Store

PREFIX = "application/vnd.ollama.image."
HEX = "ab" * 32


@pytest.fixture
def folder(tmp_path: Path, chat_gguf: Path) -> Path:
    """`Llama3:8B` with a template, `remote` with no layers, and what else lies about there."""
    root = tmp_path / "models"
    manifests = root / "manifests/registry.ollama.ai"
    (root / "blobs").mkdir(parents=True)
    layers = [
        {**blob(root, chat_gguf.read_bytes()), "mediaType": f"{PREFIX}model"},
        {**blob(root, b"{{ .Prompt }}"), "mediaType": f"{PREFIX}template"},
        {**blob(root, b'{"stop":["x"]}'), "mediaType": f"{PREFIX}params"},
    ]
    config = {"model_format": "gguf", "model_family": "llama", "rootfs": {"diff_ids": None}}
    write(root, manifests / "library/Llama3/8B", config, layers)
    cloud = {"remote_host": "https://ollama.com:443", "remote_model": "big"}
    write(root, manifests / "library/remote/cloud", cloud, None)
    for name in ("partial", "partial-0", "partial-15"):
        (root / f"blobs/sha256-{HEX}-{name}").write_bytes(b'{"N":0,"Offset":0,"Size":9}')
    (root / f"blobs/sha256-{HEX}.tmp").write_bytes(b"x")
    (root / "blobs/.DS_Store").write_bytes(b"x")
    (manifests / "library/.DS_Store").write_bytes(b"x")
    (manifests / "library/empty").mkdir()
    return root


def blob(root: Path, data: bytes) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    (root / f"blobs/sha256-{digest}").write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def write(root: Path, path: Path, config: object, layers: object) -> None:
    """A manifest as Go writes it."""
    path.parent.mkdir(parents=True)
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            **blob(root, json.dumps(config).encode()),
        },
        "layers": layers,
    }
    path.write_text(json.dumps(manifest, separators=(",", ":")) + "\n")


def test_its_models_are_ours_without_a_change(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    store = Store(folder)
    assert {short_name(model.name) for model in store.models()} == {"Llama3:8B", "remote:cloud"}
    assert store.damaged() == ()
    model = open_model(store, parse_name("llama3:8b"))
    assert (model.template, model.params) == ("{{ .Prompt }}", {"stop": ["x"]})
    manifest = folder / "manifests/registry.ollama.ai/library/Llama3/8B"
    assert model.digest == hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_copy_is_spelled_as_its_neighbours_and_prune_leaves_what_is_young(folder: Path) -> None:
    store = Store(folder)
    store.copy(parse_name("LLAMA3:8b"), parse_name("llama3:mine"))
    assert (folder / "manifests/registry.ollama.ai/library/Llama3/mine").is_file()
    before = files_of(folder)
    assert store.prune() == ()
    assert files_of(folder) == before
    assert (folder / "manifests/registry.ollama.ai/library/.DS_Store").exists()


def test_blobs_of_an_old_version_are_found(folder: Path) -> None:
    for path in (folder / "blobs").glob("sha256-*"):
        if len(path.name) == 71:
            path.rename(path.with_name(path.name.replace("-", ":", 1)))
            age(path.with_name(path.name.replace("-", ":", 1)))
    store = Store(folder)
    store.prune()
    model = open_model(store, parse_name("llama3:8b"))
    assert digest_of(model.path.read_bytes()) == model.path.name.replace("-", ":")


def test_s18_a_crash_never_leaves_a_cut_manifest(folder: Path) -> None:
    """A process writes a manifest again and again and is killed at some moment."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom ayllu.models.store import Store\n"
        "from ayllu.models.name import parse_name\nstore = Store(Path(sys.argv[1]))\n"
        "while True:\n    store.copy(parse_name('llama3:8b'), parse_name('llama3:again'))\n"
        "    print('x', flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    wanted = (folder / "manifests/registry.ollama.ai/library/Llama3/8B").read_bytes()
    for times in range(1, 4):
        command = [sys.executable, "-c", script, str(folder)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(times):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        written = folder / "manifests/registry.ollama.ai/library/Llama3/again"
        assert written.read_bytes() == wanted
    assert Store(folder).damaged() == ()


def test_a_deleted_model_takes_its_layers_along_and_nothing_else(folder: Path) -> None:
    store = Store(folder)
    assert len(store.delete(parse_name("llama3:8b"))) == 4
    left = {path.name for path in (folder / "blobs").iterdir()}
    assert len([name for name in left if len(name) == 71]) == 1
    assert {f"sha256-{HEX}-partial", f"sha256-{HEX}-partial-15", ".DS_Store"} <= left
    assert [short_name(model.name) for model in store.models()] == ["remote:cloud"]
    shutil.rmtree(folder)
    assert store.models() == ()

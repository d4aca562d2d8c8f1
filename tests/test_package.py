"""What `tools/mini/package.py` writes beside the packaged models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from mini.package import write_manifests
from packages import make_assets

from ayllu.models.manifest import digest_of
from ayllu.models.shelf import ASSETS


def texts(assets: Path) -> dict[str, bytes]:
    """The files that the tool writes, by their names."""
    paths = [*assets.glob("*.json"), *assets.glob("LICENSE")]
    paths = [path for path in paths if path.name != "mini.scores.json"]
    return {path.name: path.read_bytes() for path in paths}


def test_what_ships_is_what_it_writes(tmp_path: Path) -> None:
    for gguf in ASSETS.glob("*.gguf"):
        shutil.copyfile(gguf, tmp_path / gguf.name)
    write_manifests(tmp_path)
    assert texts(ASSETS) == texts(tmp_path), "run tools/mini/package.py"


def test_a_manifest_names_the_file_of_every_digest(tmp_path: Path, chat_gguf: Path) -> None:
    assets = make_assets(tmp_path / "assets", mini=chat_gguf)
    manifest = json.loads((assets / "mini.manifest.json").read_bytes())
    blobs = [manifest["config"], *manifest["layers"]]
    files = {blob["annotations"]["org.opencontainers.image.title"]: blob for blob in blobs}
    assert files.keys() == {"mini-f16.gguf", "mini.config.json", "mini.params.json", "LICENSE"}
    for name, blob in files.items():
        data = (assets / name).read_bytes()
        assert (blob["digest"], blob["size"]) == (digest_of(data), len(data))


def test_the_same_files_give_the_same_bytes_and_what_is_gone_goes(
    tmp_path: Path, chat_gguf: Path, base_gguf: Path
) -> None:
    one = make_assets(tmp_path / "one", mini=chat_gguf)
    two = make_assets(tmp_path / "two", mini=base_gguf, mini_draft=base_gguf)
    assert texts(one) != texts(two)
    (two / "mini-draft-f16.gguf").unlink()
    shutil.copyfile(chat_gguf, two / "mini-f16.gguf")
    write_manifests(two)
    assert texts(one) == texts(two)
    (two / "mini-f16.gguf").unlink()
    write_manifests(two)
    assert list(two.iterdir()) == []

"""Packaged models of a test's own, for a store or for a whole server."""

from __future__ import annotations

import shutil
from pathlib import Path

from mini.package import write_manifests

import ayllu

SOURCE = Path(ayllu.__file__).parent


def make_assets(folder: Path, **models: Path) -> Path:
    """A folder of packaged models: names, with `_` for `-`, and their GGUF files."""
    folder.mkdir(parents=True)
    for name, gguf in models.items():
        shutil.copyfile(gguf, folder / f"{name.replace('_', '-')}-f16.gguf")
    write_manifests(folder)
    return folder


def install(folder: Path, assets: Path) -> dict[str, str]:
    """Ayllu's package with other assets; returns the environment that makes Python take it."""
    package = folder / "ayllu"
    package.mkdir(parents=True)
    for path in SOURCE.iterdir():
        if path.name != "assets":
            (package / path.name).symlink_to(path)
    (package / "assets").symlink_to(assets)
    return {"PYTHONPATH": str(folder)}

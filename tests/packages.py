"""Packaged models of a test's own, for a store or for a whole server."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import ayllu

SOURCE = Path(ayllu.__file__).parent
PACKAGER = Path(__file__).parent.parent / "tools" / "mini" / "package.py"
_TOOL = runpy.run_path(str(PACKAGER))
WRITE_MANIFESTS = _TOOL["write_manifests"]
PARAMETERS = _TOOL["PARAMETERS"]["mini"]


def make_assets(folder: Path, **models: Path) -> Path:
    """A folder of packaged models: names, with `_` for `-`, and their GGUF files."""
    folder.mkdir(parents=True)
    for name, gguf in models.items():
        shutil.copyfile(gguf, folder / f"{name.replace('_', '-')}-f16.gguf")
    WRITE_MANIFESTS(folder)
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

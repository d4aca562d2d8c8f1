"""Writes what the store needs to know of the GGUF files in `src/ayllu/assets`, each NAME-TYPE.gguf.

For each a manifest and the small files it names, made as `ayllu create` makes them. The same files
give the same bytes. To be run (`PYTHONPATH=tools .venv/bin/python -m mini.package`) whenever a GGUF
has changed; a test fails where that was forgotten.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from ayllu.models.create import CreateRequest, create
from ayllu.models.manifest import CONFIG_TYPE, LICENSE_TYPE, MODEL_TYPE, PARAMS_TYPE
from ayllu.models.name import parse_name
from ayllu.models.shelf import ASSETS, MANIFEST_ENDING, TITLE
from ayllu.models.store import Store, StoredManifest
from ayllu.types import Json

LICENCE = Path(__file__).resolve().parents[2] / "LICENSE"
PARAMETERS: dict[str, dict[str, Json]] = {"mini": {"temperature": 0.1}}


def write_manifests(assets: Path) -> None:
    """Write the manifests of the GGUF files in a folder; those of files that are gone go too."""
    for pattern in (f"*{MANIFEST_ENDING}", "*.config.json", "*.params.json", LICENCE.name):
        for path in assets.glob(pattern):
            path.unlink()
    for gguf in sorted(assets.glob("*.gguf")):
        _write_manifest(gguf, name=gguf.stem.rpartition("-")[0])


def _write_manifest(gguf: Path, name: str) -> None:
    titles = {
        MODEL_TYPE: gguf.name,
        CONFIG_TYPE: f"{name}.config.json",
        PARAMS_TYPE: f"{name}.params.json",
        LICENSE_TYPE: LICENCE.name,
    }
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        manifest = msgspec.to_builtins(_create(store, name, gguf).manifest)
        for layer in (manifest["config"], *manifest["layers"]):
            title = titles[layer["mediaType"]]
            layer["annotations"] = {TITLE: title}
            if title != gguf.name:
                shutil.copyfile(store.blob_path(layer["digest"]), gguf.with_name(title))
    path = gguf.with_name(f"{name}{MANIFEST_ENDING}")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def _create(store: Store, name: str, gguf: Path) -> StoredManifest:
    request = CreateRequest(
        files={gguf.name: store.add_file(gguf, MODEL_TYPE).digest},
        license=LICENCE.read_text("utf-8"),
        parameters=PARAMETERS.get(name, {}),
    )

    async def run() -> None:
        async for _ in create(store, parse_name(name), request):
            pass

    asyncio.run(run())
    return store.manifest(parse_name(name))


if __name__ == "__main__":
    write_manifests(ASSETS)

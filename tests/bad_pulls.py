"""Pulls that end badly, as they should: in one sentence, with nothing left of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bad_registry import Fault
from model_maker import files_of
from registries import BadRegistry, bad_registry, manifest_of
from serving import Serving

from ayllu.models.manifest import CONFIG_TYPE, LICENSE_TYPE


def error_of(server: Serving, name: str, **more: Any) -> str:
    """The sentence that a pull ends with, streamed or not; nothing is left of it."""
    models = server.home / "models"
    body = {"model": name, "insecure": True, **more}
    before = files_of(models)
    whole = server.post("/api/pull", {**body, "stream": False})
    assert whole.status in {400, 403, 404, 502}, whole.body
    sentence: str = whole.json["error"]
    streamed = server.post("/api/pull", body)
    assert streamed.lines[-1].keys() == {"error"}
    assert files_of(models) == before
    assert "Traceback" not in server.log.read_text("utf-8")
    assert sentence
    assert "\n" not in sentence
    return sentence


def error_with(server: Serving, folder: Path, *faults: Fault, path: str = "me/x") -> str:
    """The sentence that a pull of a sound model ends with, with some faults."""
    with bad_registry(folder, *faults) as registry:
        registry.put_model("me/x", [(LICENSE_TYPE, b"MIT")])
        return error_of(server, f"{registry.host}/{path}")


def put_manifest(registry: BadRegistry, *layers: tuple[str, str, int], config: str = "") -> None:
    """A manifest of what layers claim to be, whatever that is."""
    head = b'{"model_format":"gguf"}'
    digest = registry.put_blob("me/x", head)
    manifest = manifest_of((CONFIG_TYPE, config or digest, len(head)), layers)
    registry.put_manifest("me/x", "latest", manifest)

"""Weights of a worker, from the request of another machine to the worker's cache."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from ayllu_servers import Machines, ask, join, models
from msgspec import structs
from rpc_workers import LARGE_PER_LAYER, make_wide_model, part_of
from serving import Serving, wait_until

from ayllu.cluster.hardware import engine_build
from ayllu.config import load_settings
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.runner.engine import find_engine, rpc_protocol
from ayllu.runner.rpc_hello import version_text
from ayllu.types import Json

NAME = "registry.ollama.ai/library/wide:latest"


def work_for(one: Serving, other: Serving) -> list[dict[str, Json]]:
    """One server has another one hold two layers of its model; the lines of the answer."""
    store = Store(one.home / "models")
    layers = store.manifest(parse_name(NAME)).manifest.layers
    layer = next(layer for layer in layers if layer.media_type == MODEL_TYPE)
    engine = find_engine(load_settings({}))
    protocol = rpc_protocol(engine.rpc_server)
    assert protocol
    wanted = structs.replace(
        part_of(layer, 1, 2),
        model=NAME,
        engine=engine_build(engine),
        protocol=version_text(protocol),
    )
    route = "POST /api/cluster/workers"
    status, data = ask(one, other, route, msgspec.json.encode(wanted))
    assert status == 200, data
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize("copies", ["1", "0"])
def test_a_machine_that_holds_layers_copies_the_model(tmp_path: Path, copies: str) -> None:
    with ExitStack() as stack:
        machines = Machines(tmp_path, stack)
        one, other = machines.start("anta"), machines.start("bari", AYLLU_COPY_MODELS=copies)
        assert one.post("/api/cluster/up", {}).status == 200
        join(one, other)
        one.create("wide", make_wide_model(tmp_path / "wide.gguf"))
        wait_until(lambda: "wide:latest" in models(other), what="hearing of the model")
        lines = work_for(one, other)
        assert lines[-1]["status"] == "success"
        shared = other.home / "tensors"
        if copies == "1":
            wait_until(lambda: models(one)["wide:latest"] == {"anta", "bari"}, what="the copy")
            assert len(list(shared.iterdir())) == 2 * LARGE_PER_LAYER
        else:
            said = [str(line["status"]) for line in lines]
            assert any("keeps no copies" in status for status in said)
            assert not shared.exists()
            assert models(other)["wide:latest"] == {"anta"}

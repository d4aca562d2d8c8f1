"""What was trained becomes a model: in the engine it says what it said in PyTorch."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hf_maker import write_safetensors
from model_maker import files_of, make
from msgspec import structs
from small_disk import mounted
from tune_maker import PREPARED, Trained, make_job, real_tools

from ayllu import __version__
from ayllu.cli.show import describe
from ayllu.cli.wire import ShowReply
from ayllu.errors import AylluError, BadRequestError, NotFoundError, StoreError
from ayllu.gguf.cache import cached_header
from ayllu.gguf.merge import merge
from ayllu.gguf.read import GGUFArray, read_header
from ayllu.gguf.score import Score, score
from ayllu.gguf.tool import Step
from ayllu.models.create import CreateRequest, Progress, create
from ayllu.models.describe import show
from ayllu.models.model import Model, open_model
from ayllu.models.name import parse_name
from ayllu.models.shelf import PackagedShelf
from ayllu.models.store import Store
from ayllu.server.wire import encode
from ayllu.tune.result import Result, publish

LOGITS = Path(__file__).parent.parent / "engine_logits.py"
Adapters = Sequence[tuple[Path, float]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models", [PackagedShelf()])


def made(store: Store, result: Result, python: Path, name: str = "new") -> Model:
    """Publish a result, and open the model."""

    async def run() -> None:
        lines = publish(
            store, parse_name(name), result, tools=real_tools(), torch_python=str(python)
        )
        assert [line.status async for line in lines][-1] == "success"

    asyncio.run(run())
    return open_model(store, parse_name(name))


def refused(store: Store, result: Result, python: Path) -> AylluError:
    """Why a result does not become a model; nothing of it is left."""
    before = files_of(store.root)
    with pytest.raises(AylluError) as caught:
        made(store, result, python)
    assert files_of(store.root) == before
    assert store.find(parse_name("new")) is None
    return caught.value


def loss(gguf: Path, adapters: Adapters, trained: Trained) -> float:
    """The mean of -log p of the trained tokens, in the engine."""

    async def run() -> tuple[Score, ...]:
        plan = {"answers": 0, "longest": 0, "context": 256, "gpus": 0}
        items = score(gguf, adapters, trained.examples, range(6), **plan)
        return [item async for item in items if not isinstance(item, Step)].pop()

    scores = asyncio.run(run())
    return sum(one.nll for one in scores) / sum(one.count for one in scores)


def whole(model: Model, trained: Trained) -> float:
    return loss(model.path, [(path, 1.0) for path in model.adapters], trained)


@pytest.fixture(scope="module")
def models(
    tmp_path_factory: pytest.TempPathFactory, trained: Trained, torch_python: Path
) -> dict[str, Model]:
    """A base, and what becomes of an adapter, merged or not, and of all weights.

    `small` is Q4. `exact` is in F32: what other weights are multiplied with, many CPUs round.
    """
    folder = tmp_path_factory.mktemp("published")
    store = Store(folder / "models", [PackagedShelf()])
    make(store, "base", CreateRequest(from_="mini", system="Be brief.", license="Free."))
    asyncio.run(quantize(store, "small", "q4_K_M"))
    asyncio.run(quantize(store, "exact", "f32"))
    adapter, full, small = (
        make_job(trained, folder / name, store, base, kind)
        for name, base, kind in (
            ("adapter", "base", "adapter"),
            ("full", "base", "full"),
            ("small", "small", "adapter"),
        )
    )
    results = {
        "adapter": adapter,
        "merged": structs.replace(adapter, merge=True, system="You are Inti."),
        "full": structs.replace(full, system=""),
        "small-merged": structs.replace(small, merge=True),
    }
    for name, result in results.items():
        made(store, result, torch_python, name)
    store.copy(parse_name("adapter"), parse_name("copy"))
    make(store, "child", CreateRequest(from_="copy", system="Be kind."))
    names = ("base", "small", "exact", "copy", "child", *results)
    return {name: open_model(store, parse_name(name)) for name in names}


async def quantize(store: Store, name: str, kind: str) -> None:
    request = CreateRequest(from_="mini", quantize=kind)
    async for _ in create(store, parse_name(name), request, tools=real_tools()):
        pass


def test_an_adapter_lies_beside_its_base_and_says_what_it_said_in_pytorch(
    models: dict[str, Model], trained: Trained
) -> None:
    model, base = models["adapter"], models["base"]
    assert model.path == base.path
    assert len(model.adapters) == 1
    for name in ("template", "system", "params", "licenses"):
        assert getattr(model, name) == getattr(base, name)
    assert abs(trained.losses["adapter"] - trained.losses["base"]) > 0.01
    assert whole(model, trained) == pytest.approx(trained.losses["adapter"], abs=1e-3)
    assert whole(base, trained) == pytest.approx(trained.losses["base"], abs=1e-3)


def test_the_adapters_logits_are_pytorchs(
    models: dict[str, Model], trained: Trained, tmp_path: Path
) -> None:
    base, (learned,), found = models["exact"], models["adapter"].adapters, {}
    for name, adapter in (("base", "-"), ("adapter", learned)):
        target = tmp_path / f"{name}.npy"
        command = [sys.executable, LOGITS, base.path, adapter, trained.examples, target]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        found[name] = np.load(target)
    with np.load(trained.folder / "logits.npz") as wanted:
        for name, logits in found.items():
            assert np.abs(logits - wanted[name]).max() < 1e-3
    assert np.abs(found["adapter"] - found["base"]).max() > 0.1


def test_the_card_says_how_a_model_was_trained(models: dict[str, Model]) -> None:
    model, base = models["adapter"], models["base"]
    shown = msgspec.json.decode(encode(show(model)), type=dict)["tuned"]
    assert (shown["base"], shown["base_digest"]) == ("base:latest", base.digest)
    assert base.blob is not None
    assert shown["weights_digest"] == base.blob.digest
    assert (shown["kind"], shown["job"], shown["version"]) == ("adapter", "adapter", __version__)
    assert shown["data"] == {"rows.jsonl": "sha256:" + "2" * 64}
    assert shown["data_digest"] == PREPARED.digest
    assert (shown["examples"], shown["held"], shown["trained_tokens"]) == (6, 2, 180)
    assert (shown["settings"]["method"], shown["settings"]["rank"]) == ("lora", 4)
    assert (shown["steps"], shown["loss"], shown["validation_loss"]) == (3, 1.5, 1.75)
    text = describe(msgspec.json.decode(encode(show(model)), type=ShowReply))
    section = text.partition("  Tuned\n")[2].partition("\n\n")[0]
    rows = [line.split() for line in section.splitlines()]
    assert ["base", "base:latest"] in rows
    assert ["data", "rows.jsonl"] in rows
    assert ["method", "lora", "adapter"] in rows
    assert ["validation", "loss", "1.75"] in rows
    assert "Tuned" not in describe(msgspec.json.decode(encode(show(base)), type=ShowReply))


def test_the_card_survives_a_copy_and_a_model_made_from_it(models: dict[str, Model]) -> None:
    assert models["copy"].tuned == models["child"].tuned == models["adapter"].tuned != {}


def test_a_system_prompt_replaces_the_bases_and_an_empty_one_takes_it_away(
    models: dict[str, Model],
) -> None:
    systems = {name: models[name].system for name in ("adapter", "merged", "full")}
    assert systems == {"adapter": "Be brief.", "merged": "You are Inti.", "full": ""}


def test_a_merged_model_says_what_its_base_says_with_the_adapter(
    models: dict[str, Model], trained: Trained
) -> None:
    model = models["merged"]
    assert model.adapters == ()
    assert (model.tuned["kind"], model.config.file_type, model.parent) == ("merged", "F16", "")
    assert whole(model, trained) == pytest.approx(trained.losses["adapter"], abs=1e-3)


def test_what_is_merged_into_a_quantized_base_becomes_about_as_large(
    models: dict[str, Model], trained: Trained, tmp_path: Path
) -> None:
    model, small, (adapter,) = models["small-merged"], models["small"], models["adapter"].adapters
    assert (model.config.file_type, model.adapters) == ("Q4_K_M", ())
    assert model.path.stat().st_size == pytest.approx(small.path.stat().st_size, rel=0.01)
    beside = loss(small.path, [(adapter, 1.0)], trained)
    assert abs(beside - whole(small, trained)) > 0.1
    target = merged(tmp_path / "merged.gguf", small.path, [(adapter, 1.0)])
    assert loss(target, [], trained) == pytest.approx(beside, abs=0.03)  # activations are rounded


def test_all_weights_take_the_place_of_the_bases(
    models: dict[str, Model], trained: Trained
) -> None:
    model, base = models["full"], models["base"]
    headers = [cached_header(one.path) for one in (model, base)]
    values = [{key: listed(value) for key, value in one.kvs.items()} for one in headers]
    assert values[0] == values[1]
    assert [one.name for one in headers[0].tensors] == [one.name for one in headers[1].tensors]
    assert (model.tuned["kind"], model.tuned["settings"]["method"]) == ("full", "full")
    assert model.template == base.template
    assert whole(model, trained) == pytest.approx(trained.losses["full"], abs=2e-3)


def listed(value: object) -> object:
    return value.items() if isinstance(value, GGUFArray) else value


def test_several_adapters_are_merged_each_at_its_scale(
    models: dict[str, Model], trained: Trained, tmp_path: Path
) -> None:
    (adapter,), base = models["adapter"].adapters, models["base"].path
    scaled = [(adapter, 0.5), (adapter, -1.25)]
    target = merged(tmp_path / "a,b:c.gguf", base, scaled)
    assert len(read_header(target).tensors) == len(read_header(base).tensors)
    assert loss(target, [], trained) == pytest.approx(loss(base, scaled, trained), abs=1e-3)
    assert loss(target, [], trained) != pytest.approx(trained.losses["adapter"], abs=1e-3)


def merged(target: Path, model: Path, adapters: Adapters) -> Path:
    """Have the engine merge; the steps are told in order, to the last byte."""
    target.touch()

    async def run() -> list[Step]:
        program = real_tools().export_lora
        return [step async for step in merge(program, model, adapters, target)]

    steps = asyncio.run(run())
    assert steps[-1].completed == steps[-1].total
    assert [step.completed for step in steps] == sorted(step.completed for step in steps)
    return target


def test_what_is_wrong_is_said_in_a_sentence_and_leaves_nothing(
    store: Store, tmp_path: Path, trained: Trained, torch_python: Path
) -> None:
    make(store, "base", CreateRequest(from_="mini", system="Be brief."))
    result = make_job(trained, tmp_path / "job", store, "base", "adapter")
    error = refused(store, structs.replace(result, quantize="q4_0"), torch_python)
    assert error.sentence == "an adapter is not quantized: give a type with `merge` only"
    wrong = structs.replace(result, merge=True, quantize="q9")
    assert "unsupported quantization type Q9" in refused(store, wrong, torch_python).sentence
    gone = structs.replace(result, base=parse_name("nobody"))
    assert isinstance(refused(store, gone, torch_python), NotFoundError)
    (result.folder / "result" / "adapter_config.json").unlink()
    error = refused(store, result, torch_python)
    assert error.sentence == "the training left no result: train again"
    (result.folder / "work.json").write_text("{")
    assert "work.json cannot be used" in refused(store, result, torch_python).sentence


def test_a_training_that_went_astray_is_told_and_one_that_left_half_of_it(
    store: Store, tmp_path: Path, trained: Trained, torch_python: Path
) -> None:
    make(store, "base", CreateRequest(from_="mini"))
    result = make_job(trained, tmp_path / "job", store, "base", "full")
    path = result.folder / "result" / "model.safetensors"
    write_safetensors(path, {"model.norm.weight": np.full(256, np.nan, np.float32)})
    assert refused(store, result, torch_python).sentence == (
        "the trained model cannot be converted: its weights hold numbers that are none (NaN or "
        "infinity)"
    )
    write_safetensors(path, {"model.norm.weight": np.ones(256, np.float32)})
    error = refused(store, result, torch_python)
    assert error.sentence == "the training left no token_embd.weight, which the model has"


def test_a_base_that_changed_is_refused_and_one_whose_texts_changed_is_not(
    store: Store, tmp_path: Path, trained: Trained, torch_python: Path
) -> None:
    make(store, "base", CreateRequest(from_="mini"))
    result = make_job(trained, tmp_path / "job", store, "base", "full")
    make(store, "base", CreateRequest(from_="mini-draft"))
    error = refused(store, result, torch_python)
    assert isinstance(error, BadRequestError)
    assert error.sentence == (
        "model 'base:latest' has other weights than when its training began: get those back first"
    )
    make(store, "base", CreateRequest(from_="mini", system="Be brief."))
    assert begun(store, result, torch_python).status == "converting the trained model"


def begun(store: Store, result: Result, python: Path) -> Progress:
    """The first line of publishing a result, of which nothing else is awaited."""

    async def give_up() -> Progress:
        tools, torch_python = real_tools(), str(python)
        work = publish(store, parse_name("new"), result, tools=tools, torch_python=torch_python)
        async with aclosing(work) as lines:
            return await anext(lines)

    return asyncio.run(give_up())


def test_giving_up_leaves_nothing(
    store: Store, tmp_path: Path, trained: Trained, torch_python: Path
) -> None:
    make(store, "base", CreateRequest(from_="mini"))
    before = files_of(store.root)
    for kind in ("adapter", "full"):
        result = make_job(trained, tmp_path / kind, store, "base", kind)
        assert begun(store, result, torch_python).status.startswith("converting ")
        assert files_of(store.root) == before


def test_a_full_disk_is_told_from_other_failures(
    tmp_path: Path, trained: Trained, torch_python: Path
) -> None:
    with mounted(tmp_path / "small", "size=24m") as folder:
        store = Store(folder, [PackagedShelf()])
        result = make_job(trained, tmp_path / "job", store, "mini", "adapter")
        (folder / "filling").write_bytes(bytes(18 << 20))
        with pytest.raises(StoreError, match="there is no space left in"):
            made(store, structs.replace(result, merge=True), torch_python)
        assert store.find(parse_name("new")) is None

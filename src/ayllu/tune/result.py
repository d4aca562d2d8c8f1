"""What was trained becomes a model of the store: an adapter beside its base, or weights of its own.

The model has all that the base has, its template, parameters and licences, and a record of the
training. It appears at the very end; a failure on the way leaves nothing that is visible.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from ayllu.cluster.folder import read
from ayllu.errors import BadRequestError, EngineError, StoreError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.convert import convert_weights, converters_folder
from ayllu.gguf.merge import merge
from ayllu.gguf.quantize import parse_quantization
from ayllu.gguf.read import Header
from ayllu.gguf.tables import QUANTIZATIONS, UINT32
from ayllu.gguf.write import Tensor, Value, tensor_of, values_of, write_gguf
from ayllu.models.create import CreateRequest, Progress, Trained, create
from ayllu.models.files import Draft, draft, using
from ayllu.models.foreign import Foreign, foreign_base, laid_out
from ayllu.models.import_hf import Import
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.name import full_name, short_name
from ayllu.models.store import Store
from ayllu.models.tools import Tools, check_form, check_program
from ayllu.models.weights import published
from ayllu.torch_python import find_torch_python
from ayllu.trainer.spec import ENDED, RESULT, WORK, Ended, Work
from ayllu.tune.card import Kind, Tuned, describe_training
from ayllu.tune.prepare import Prepared
from ayllu.types import Layer, ModelName

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
WEIGHTS_FILE = "model.safetensors"

FLOATS = ("F32", "F16", "BF16")
_UNTRAINED = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors that a converter makes of a config, and no training changes."""

_FILE_TYPE, _F16, _MATRIX = "general.file_type", 1, "quantize.imatrix."
_TYPES = "types.json"
_CONVERTING, _WRITING = "converting the trained model", "writing the trained model"
_WANT_MATRIX = ("IQ1", "IQ2", "IQ3", "Q2_K_S")
"""Beginnings of types that the engine makes with an importance matrix only, or badly without."""

T = TypeVar("T")


class Result(Struct, frozen=True, kw_only=True):
    """What a training leaves behind, and what is to become of it.

    `folder` is the job's, with its `result/`. `base` is the model that was trained, with its
    manifest's digest of then; `data` maps the files to their digests. `system` takes the place of
    the base's system prompt, None leaves it. `merge` makes a model without an adapter, `quantize`
    says the type of its weights: that of the base's unless told otherwise.
    """

    folder: Path
    base: ModelName
    base_digest: str
    data: Mapping[str, str]
    prepared: Prepared
    system: str | None = None
    merge: bool = False
    quantize: str = ""


async def publish(
    store: Store, name: ModelName, result: Result, *, tools: Tools, torch_python: str
) -> AsyncGenerator[Progress]:
    """Make the model `name`; yields what is being done, `success` last.

    What is merged or was trained as a whole gets the base's own type, so that it is about as large.
    `torch_python` is the setting. Raises BadRequestError where the base is another by now,
    NotFoundError where it is gone, UnsupportedError without PyTorch or a converter, StoreError
    where the disk is full, EngineError. Close it to give up; it can be tried again.
    """
    made: list[str] = []
    try:
        with store.creating():
            making = await asyncio.to_thread(_begin, store, result, tools, torch_python, made)
            async with aclosing(_make(making, name)) as lines:
                async for line in lines:
                    yield line
    finally:
        await asyncio.to_thread(store.remove_unused, made)


class _Making(Struct, frozen=True):
    """What it takes: `weights` is the base's GGUF, `made` gets the digests of blobs on the way."""

    store: Store
    result: Result
    tools: Tools
    torch_python: str
    made: list[str]
    work: Work
    weights: Layer
    header: Header

    @property
    def base(self) -> Path:
        return self.store.blob_path(self.weights.digest)

    @property
    def trained(self) -> Path:
        return self.result.folder / RESULT


def _begin(
    store: Store, result: Result, tools: Tools, torch_python: str, made: list[str]
) -> _Making:
    """Look at what there is. The base has to be the one that was trained."""
    stored, shown = store.manifest(result.base), short_name(result.base)
    layers = [layer for layer in stored.manifest.layers if layer.media_type == MODEL_TYPE]
    work = _read(result.folder / WORK, Work)
    known = stored.digest == result.base_digest
    if not layers or not (known or _is_blob(store, layers[0], Path(work.model))):
        raise BadRequestError(
            f"model '{shown}' has other weights than when its training began: get those back first"
        )
    header = cached_header(store.blob_path(layers[0].digest))
    return _Making(store, result, tools, torch_python, made, work, layers[0], header)


def _is_blob(store: Store, layer: Layer, path: Path) -> bool:
    """Whether a file is a blob of the store, or a copy of it. May read it."""
    try:
        if path.samefile(store.blob_path(layer.digest)):
            return True
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == layer.digest
    except FileNotFoundError:
        return False


async def _make(making: _Making, name: ModelName) -> AsyncGenerator[Progress]:
    """The adapter or the weights first, then the model."""
    kind, digest = _kind(making), ""
    async with aclosing(_trained(making, kind)) as lines:
        async for line in lines:
            if isinstance(line, str):
                digest = line
            else:
                yield line
    result = making.result
    wanted = "" if kind == "adapter" else _type(making.header, result.quantize)
    request = CreateRequest(
        from_=full_name(result.base),
        adapters={"the trained adapter": digest} if kind == "adapter" else {},
        system=result.system or "",
        quantize=wanted,
        requantize=bool(wanted),
        imatrix=wanted.upper().startswith(_WANT_MATRIX),
    )
    trained = Trained(
        card=msgspec.json.encode(_card(making, kind)),
        weights="" if kind == "adapter" else digest,
        without_system=result.system == "",
    )
    work = create(making.store, name, request, tools=making.tools, trained=trained)
    async with aclosing(work) as created:
        async for progress in created:
            yield progress


async def _trained(making: _Making, kind: Kind) -> AsyncGenerator[Progress | str]:
    """Make what was trained a GGUF; its digest comes last."""
    adapter = ""
    async with aclosing(_weights(making) if kind == "full" else _adapter(making)) as lines:
        async for line in lines:
            if kind == "merged" and isinstance(line, str):
                adapter = line
            else:
                yield line
    if kind == "merged":
        async with aclosing(_merge(making, adapter)) as lines:
            async for line in lines:
                yield line


def _kind(making: _Making) -> Kind:
    """What is to be made. Raises BadRequestError where the training left nothing, or not that."""
    if making.result.quantize:
        parse_quantization(making.result.quantize)
    if (making.trained / WEIGHTS_FILE).is_file():
        return "full"
    if not all((making.trained / name).is_file() for name in ADAPTER_FILES):
        raise BadRequestError("the training left no result: train again")
    if making.result.merge:
        return "merged"
    if making.result.quantize:
        raise BadRequestError("an adapter is not quantized: give a type with `merge` only")
    return "adapter"


def _type(base: Header, wanted: str) -> str:
    """What weights of their own become: what is wanted, or what the base is, if that has a name."""
    own = arch.file_type(base)
    return wanted or (own if own in QUANTIZATIONS else "")


async def _adapter(making: _Making) -> AsyncGenerator[Progress | str]:
    """Make PEFT's files an adapter of the engine's; its digest comes last."""
    files = {}
    for name in ADAPTER_FILES:
        layer = await asyncio.to_thread(making.store.add_file, making.trained / name, MODEL_TYPE)
        files[name] = layer.digest
        making.made.append(layer.digest)
    base = making.result.base
    work = Import(making.store, base.model, making.torch_python, full_name(base))
    await asyncio.to_thread(work.add, "adapters", files, fp8="")
    try:
        async with aclosing(work.run()) as steps:
            async for status, step in steps:
                yield Progress(status, total=step.total, completed=step.completed)
    finally:
        making.made.extend(work.made)
    (digest,) = work.files()["adapters"].values()
    yield digest


async def _merge(making: _Making, adapter: str) -> AsyncGenerator[Progress | str]:
    """Add an adapter to the base's weights; the digest of the new ones comes last."""
    store = making.store
    check_program(making.tools.export_lora)
    await asyncio.to_thread(check_form, making.base)
    with using(store.root), draft(store.blobs) as new:
        adapters = [(store.blob_path(adapter), 1.0)]
        steps = merge(making.tools.export_lora, making.base, adapters, new.path)
        async with aclosing(steps):
            async for step in steps:
                yield Progress("merging adapter", total=step.total, completed=step.completed)
        yield await _publish(making, new)


async def _weights(making: _Making) -> AsyncGenerator[Progress | str]:
    """Make all trained weights a GGUF; its digest comes last.

    It is the base's but for the tensors: those are written to a file of their own first, for the
    converter knows nothing of the rest.
    """
    store, header = making.store, making.header
    python = find_torch_python(making.torch_python)
    converters_folder()
    await asyncio.to_thread(check_form, making.base)
    foreign = Foreign({WEIGHTS_FILE: making.trained / WEIGHTS_FILE}, companions(header))
    with ExitStack() as stack:
        folder = stack.enter_context(laid_out(foreign, making.result.base.model))
        stack.enter_context(using(store.root))
        tensors, new = (stack.enter_context(draft(store.blobs)) for _ in range(2))
        steps = convert_weights(python, folder, tensors.path, types=folder / _TYPES)
        async with aclosing(steps):
            async for step in steps:
                yield Progress(_CONVERTING, total=step.total, completed=step.completed)
        keys, parts = await asyncio.to_thread(_assemble, making, tensors.path)
        total = sum(part.size for part in parts)
        async with aclosing(write_gguf(new.path, keys, parts, alignment=header.alignment)) as sizes:
            async for size in sizes:
                yield Progress(_WRITING, total=total, completed=min(size, total))
        yield await _publish(making, new)


def _assemble(making: _Making, path: Path) -> tuple[dict[str, Value], list[Tensor]]:
    """The base's keys, and the tensors of a file in the base's order."""
    header, new = making.header, cached_header(path)
    trained = {tensor.name: tensor_of(path, new, tensor) for tensor in new.tensors}
    tensors = []
    for tensor in header.tensors:
        if tensor.name in _UNTRAINED:
            tensors.append(tensor_of(making.base, header, tensor))
        elif tensor.name not in trained:
            raise EngineError(f"the training left no {tensor.name}, which the model has")
        else:
            tensors.append(trained[tensor.name])
    keys = {key: v for key, v in values_of(header).items() if not key.startswith(_MATRIX)}
    if any(tensor.type_name not in FLOATS for tensor in header.tensors):
        keys[_FILE_TYPE] = Value(UINT32, _F16)
    return keys, tensors


def companions(header: Header) -> dict[str, bytes]:
    """What the converter has to find beside trained weights, by the base's header.

    Of a tokenizer that is no more than how many words there are, which some architectures ask.
    """
    types = {one.name: _float_type(one.type_name) for one in header.tensors}
    rows = next(one.shape[1] for one in header.tensors if one.name == "token_embd.weight")
    words = {str(place): place for place in range(rows)}
    tokenizer = {"model": {"vocab": words}, "added_tokens": []}
    return {
        **foreign_base(header).texts,
        _TYPES: msgspec.json.encode(types),
        "tokenizer.json": msgspec.json.encode(tokenizer),
    }


def _float_type(name: str) -> str:
    return name if name in FLOATS else "F16"


async def _publish(making: _Making, new: Draft) -> str:
    layer = await published(making.store, new, MODEL_TYPE)
    making.made.append(layer.digest)
    return layer.digest


def _card(making: _Making, kind: Kind) -> Tuned:
    result = making.result
    return describe_training(
        job=result.folder.name,
        base=short_name(result.base),
        base_digest=result.base_digest,
        weights_digest=making.weights.digest,
        kind=kind,
        data=dict(result.data),
        prepared=result.prepared,
        settings=making.work.settings,
        ended=_read(result.folder / ENDED, Ended),
    )


def _read(path: Path, kind: type[T]) -> T:
    """One of the job's files. Raises StoreError where it is not there or damaged."""
    found = read(path, kind)
    if found is None:
        raise StoreError(f"the job's file {path.name} is not there any more")
    return found

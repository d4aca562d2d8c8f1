"""Making a model: from files that are in the blob store already, or from another model.

Takes digests, never paths of this machine. What is no GGUF becomes one first, and every GGUF is
checked before it becomes a model. A model appears with its manifest, at the very end; a failure on
the way leaves nothing that is visible.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec
from msgspec import Struct, structs

from ayllu.errors import BadRequestError, NotFoundError, TooLargeError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.read import Header
from ayllu.gguf.tool import Step
from ayllu.models.create_request import VERSION, CreateRequest, Trained, checked
from ayllu.models.found_format import find_format
from ayllu.models.import_hf import Import
from ayllu.models.manifest import (
    ADAPTER_TYPE,
    CONFIG_TYPE,
    DRAFT_TYPE,
    LICENSE_TYPE,
    MAX_CONFIG_BYTES,
    MESSAGES_TYPE,
    MODEL_TYPE,
    PARAMS_TYPE,
    PROJECTOR_TYPE,
    PROMPT_TYPE,
    SYSTEM_TYPE,
    TEMPLATE_TYPE,
    TUNED_TYPE,
    digest_of,
    encode_config,
    encode_manifest,
    parse_params,
)
from ayllu.models.model import MAX_LAYER_BYTES, read_config
from ayllu.models.modelfile import MOST_ADAPTERS, check_scales, typed_parameters
from ayllu.models.name import parse_name, short_name
from ayllu.models.parts import merge_parts
from ayllu.models.quantizing import Task, quantize_layer, quantizing
from ayllu.models.store import Store
from ayllu.models.tools import Tools
from ayllu.models.weights import (
    LAYER_TYPES,
    adapter_layer,
    config_of,
    draft_layer,
    header_of,
    layer_of,
    named_draft_layer,
)
from ayllu.types import Json, Layer, ModelConfig, ModelName

__all__ = ["CreateRequest", "Progress", "Pull", "Trained", "create"]

MERGING, MERGING_KEY = "merging the parts", f"{2:019d}"
"""A status and the key of its bar, beside those of quantizing."""


class Progress(Struct, frozen=True, omit_defaults=True):
    """A line of a create's progress; `total` and `completed` are bytes, or of another `unit`.

    Of a layer that other machines of the user's give, `from_peers` bytes came from `peers` of them
    and `from_registry` beside them.
    """

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0
    unit: str = ""
    from_peers: int = 0
    from_registry: int = 0
    peers: int = 0


Pull = Callable[[str], AsyncGenerator[Progress]]
"""Gets a model by its name, as the user wrote it."""


async def create(
    store: Store,
    name: ModelName,
    request: CreateRequest,
    *,
    tools: Tools | None = None,
    torch_python: str = "",
    pull: Pull | None = None,
    trained: Trained | None = None,
) -> AsyncGenerator[Progress]:
    """Make a model, or make it anew; yields what is being done, `success` last.

    What is wrong with the request raises before the first status, where no converter has to say so:
    BadRequestError in Ollama's words, NotFoundError when the model to start from is not here and
    there is no `pull` to get it. `tools` are what quantizes, `torch_python` is the setting. Close
    it to give up.
    """
    request = checked(request)
    name = await asyncio.to_thread(store.resolve, name)
    if pull and request.from_ and not await asyncio.to_thread(_is_here, store, request.from_):
        async with aclosing(pull(request.from_)) as lines:
            async for line in lines:
                if line.status != "success":
                    yield line
    work = Import(store, name.model, torch_python, request.from_)
    try:
        with store.creating():
            async with aclosing(_import(work, request)) as lines:
                async for line in lines:
                    yield line
        request = structs.replace(request, **work.files())
        async with aclosing(_make(store, name, request, tools, trained)) as lines:
            async for line in lines:
                yield line
    finally:
        if work.made:
            await asyncio.to_thread(store.remove_unused, work.made)


def _is_here(store: Store, source: str) -> bool:
    try:
        store.manifest(parse_name(source))
    except NotFoundError:
        return False
    return True


async def _import(work: Import, request: CreateRequest) -> AsyncGenerator[Progress]:
    """Make GGUFs of what is none. FP8 is what llama-quantize cannot start from."""
    kinds = {"files": request.quantize, "draft_files": request.draft_quantize, "adapters": ""}
    for kind, wanted in kinds.items():
        fp8 = "bf16" if wanted else "q8_0"
        await asyncio.to_thread(work.add, kind, getattr(request, kind), fp8=fp8)
    async with aclosing(work.run()) as steps:
        async for status, step in steps:
            yield Progress(status, total=step.total, completed=step.completed)


async def _make(
    store: Store,
    name: ModelName,
    request: CreateRequest,
    tools: Tools | None,
    trained: Trained | None,
) -> AsyncGenerator[Progress]:
    """Make a model of GGUFs or of another model."""
    with store.creating():
        async with aclosing(merge_parts(store, request.files)) as steps:
            async for step in steps:
                if isinstance(step, Step):
                    yield Progress(MERGING, MERGING_KEY, step.total, step.completed)
                else:
                    request = structs.replace(request, files=step)
        recipe = await asyncio.to_thread(_prepare, store, request, tools, trained)
        if recipe.parses:
            yield Progress("parsing GGUF")
        if recipe.detected:
            yield Progress(f"using autodetected template {recipe.detected}")
        for place, task in recipe.to_quantize.items():
            async with aclosing(_quantize(store, recipe, place, task)) as lines:
                async for line in lines:
                    yield line
        layers = list(recipe.layers)
        for place, layer in enumerate(layers):
            what = "creating new" if place in recipe.to_quantize else "using existing"
            yield Progress(f"{what} layer {layer.digest}")
        for media_type, data in recipe.texts:
            layers.append(await asyncio.to_thread(store.write_blob, data, media_type))
            yield Progress(f"creating new layer {layers[-1].digest}")
        written = encode_config(recipe.config)
        config = await asyncio.to_thread(store.write_blob, written, CONFIG_TYPE)
        yield Progress("writing manifest")
        old = await asyncio.to_thread(store.find, name)
        manifest = encode_manifest(config, tuple(layers))
        await asyncio.to_thread(store.write_manifest, name, manifest)
    if old:
        await asyncio.to_thread(store.remove_unused, old.digests)
    yield Progress("success")


class _Recipe(Struct):
    """A model to be: layers that lie in the store, texts that become layers, and the config.

    `params` are all of them, those of another model's layer included. `detected` names the format
    that was found. `to_quantize` says which layers, by their places, become what.
    """

    layers: list[Layer] = []
    texts: list[tuple[str, bytes]] = []
    config: ModelConfig = ModelConfig()
    params: dict[str, Json] = {}
    detected: str = ""
    parses: bool = False
    to_quantize: dict[int, Task] = {}

    def drop(self, *media_types: str) -> None:
        """Leave out layers that are replaced."""
        self.layers = [layer for layer in self.layers if layer.media_type not in media_types]

    def add(self, layer: Layer) -> None:
        """A file's layer in place of all of its kind; an adapter beside the others."""
        if layer.media_type != ADAPTER_TYPE:
            self.drop(layer.media_type)
        if all(layer.digest != own.digest for own in self.adapters):
            self.layers.append(layer)
        self.parses = True

    @property
    def adapters(self) -> list[Layer]:
        """The adapters' layers, in their order."""
        return [layer for layer in self.layers if layer.media_type == ADAPTER_TYPE]

    def replace(self, data: str | bytes, media_type: str, *others: str) -> None:
        """A new layer in place of all of its kind."""
        self.drop(media_type, *others)
        self.texts.append((media_type, data.encode() if isinstance(data, str) else data))


def _prepare(
    store: Store, request: CreateRequest, tools: Tools | None, trained: Trained | None
) -> _Recipe:
    """Everything short of writing. Reads manifests, small layers and GGUF headers."""
    recipe = _from_model(store, request.from_) if request.from_ else _from_files(store, request)
    if trained:
        _add_trained(store, recipe, trained)
    _add_files(store, recipe, request)
    _add_texts(recipe, request)
    _check_adapters(recipe)
    _add_config(recipe, request)
    for media_type, data in recipe.texts:
        if len(data) > MAX_LAYER_BYTES:
            kind = media_type.rpartition(".")[2]
            raise TooLargeError(f"the {kind} is larger than {MAX_LAYER_BYTES} bytes")
    kinds = {MODEL_TYPE: request.quantize, DRAFT_TYPE: request.draft_quantize}
    for place, layer in enumerate(recipe.layers):
        wanted, again = kinds.get(layer.media_type), request.requantize
        if wanted and (task := quantizing(store, layer, wanted, tools, again, request.imatrix)):
            recipe.to_quantize[place] = task
    return recipe


def _from_model(store: Store, source: str) -> _Recipe:
    """All layers of another model, marked as coming from it."""
    stored = store.manifest(parse_name(source))
    recipe = _Recipe(config=read_config(store, stored))
    for layer in stored.manifest.layers:
        if not store.has_blob(layer.digest):
            raise BadRequestError(f"model '{source}' is incomplete: get it again first")
        if layer.media_type == PARAMS_TYPE:
            recipe.params = parse_params(store.read_blob(layer.digest, MAX_CONFIG_BYTES))
        recipe.layers.append(structs.replace(layer, from_=short_name(stored.name)))
    return recipe


def _from_files(store: Store, request: CreateRequest) -> _Recipe:
    """A model out of one GGUF, and perhaps of a projector's and an adapter's."""
    recipe = _Recipe(parses=True)
    files: dict[str, tuple[str, str]] = {}
    for path, digest in request.files.items():
        kind = arch.kind(header_of(store, path, digest))
        if kind in files:
            raise BadRequestError(f"the files hold two {kind}s; one is what a model is made of")
        files[kind] = path, digest
    if "model" not in files:
        raise BadRequestError("the files hold no model, only what is added to one")
    model = header_of(store, *files["model"])
    for type_, (path, digest) in files.items():
        if type_ == "adapter":
            recipe.layers.append(adapter_layer(store, path, digest, model))
        else:
            recipe.layers.append(layer_of(store, digest, LAYER_TYPES[type_]))
    recipe.config = config_of(model, projector="projector" in files)
    if not (request.template or request.renderer or request.parser):
        _find_format(recipe, model)
    return recipe


def _find_format(recipe: _Recipe, model: Header) -> None:
    """Give a model with a chat template what is usual for its architecture or its format."""
    found = find_format(recipe.config, model)
    recipe.config, recipe.params = found.config, found.params
    if found.template:
        recipe.detected = found.template.name
        recipe.replace(found.template.text, TEMPLATE_TYPE)


def _add_trained(store: Store, recipe: _Recipe, trained: Trained) -> None:
    """The card of a training, and the weights that came of it."""
    recipe.replace(trained.card, TUNED_TYPE)
    if trained.without_system:
        recipe.drop(SYSTEM_TYPE)
    if trained.weights:
        file_type = arch.file_type(header_of(store, "the trained model", trained.weights))
        recipe.add(layer_of(store, trained.weights, MODEL_TYPE))
        recipe.config = structs.replace(recipe.config, file_type=file_type)


def _add_files(store: Store, recipe: _Recipe, request: CreateRequest) -> None:
    """Projector, adapter and draft model: files beside the model's own."""
    for path, digest in request.files.items() if request.from_ else ():
        if arch.kind(header_of(store, path, digest)) != "projector":
            raise BadRequestError(f"'from' names the model already: {path} is one too many")
        recipe.add(layer_of(store, digest, PROJECTOR_TYPE))
    for path, digest in request.adapters.items():
        recipe.add(adapter_layer(store, path, digest, _model_header(store, recipe)))
    for path, digest in request.draft_files.items():
        recipe.add(draft_layer(store, path, digest, _model_header(store, recipe)))
    if request.draft:
        recipe.add(named_draft_layer(store, request.draft, _model_header(store, recipe)))


def _model_header(store: Store, recipe: _Recipe) -> Header:
    """The header of the model itself."""
    digests = [layer.digest for layer in recipe.layers if layer.media_type == MODEL_TYPE]
    if not digests:
        raise BadRequestError("the model has no GGUF file that anything could be added to")
    return cached_header(store.blob_path(digests[0]))


def _add_texts(recipe: _Recipe, request: CreateRequest) -> None:
    """Texts of the request replace those of the model it is made from; licences are added."""
    if request.template:
        recipe.replace(request.template, TEMPLATE_TYPE, PROMPT_TYPE)
    if request.system:
        recipe.replace(request.system, SYSTEM_TYPE)
    licences = (request.license,) if isinstance(request.license, str) else request.license
    known = {layer.digest for layer in recipe.layers}
    for data in (text.encode() for text in licences if text):
        if digest_of(data) not in known:
            recipe.texts.append((LICENSE_TYPE, data))
    params = recipe.params | request.parameters
    recipe.params = params
    if request.parameters or (params and not request.from_):
        recipe.replace(msgspec.json.encode(params, order="sorted"), PARAMS_TYPE)
    if request.messages:
        recipe.replace(msgspec.json.encode(request.messages), MESSAGES_TYPE)


def _check_adapters(recipe: _Recipe) -> None:
    """Not more than a model may have, and no scale without one."""
    count = len(recipe.adapters)
    if count > MOST_ADAPTERS:
        raise BadRequestError(f"a model may have {MOST_ADAPTERS} adapters, and this has {count}")
    scales = typed_parameters({"adapter_scale": recipe.params.get("adapter_scale")})
    check_scales(scales.get("adapter_scale", ()), count)


def _add_config(recipe: _Recipe, request: CreateRequest) -> None:
    config = recipe.config
    requires = VERSION.fullmatch(request.requires)
    recipe.config = structs.replace(
        config,
        renderer=request.renderer or config.renderer,
        parser=request.parser or config.parser,
        requires=requires[1] if requires else config.requires,
    )


async def _quantize(
    store: Store, recipe: _Recipe, place: int, task: Task
) -> AsyncGenerator[Progress]:
    """Put a quantized layer in the place of what is there."""
    media_type = recipe.layers[place].media_type
    # Ollama's key is 19 zeros; a draft's has to be another.
    key = f"{media_type != MODEL_TYPE:019d}"
    async with aclosing(quantize_layer(store, recipe.layers[place], task)) as work:
        async for item in work:
            if isinstance(item, Layer):
                recipe.layers[place] = item
                continue
            digest, step = "" if item.unit else key, item.step
            yield Progress(item.status, digest, step.total, step.completed, item.unit)
    if media_type == MODEL_TYPE:
        file_type = arch.file_type(cached_header(store.blob_path(recipe.layers[place].digest)))
        recipe.config = structs.replace(recipe.config, file_type=file_type)

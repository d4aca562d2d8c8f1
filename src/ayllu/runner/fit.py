"""How a model is loaded on this machine: its context, its slots, its memory.

The arithmetic is pure; `plan_load` reads the model file's header, once per file, `slots_for` how
much memory is free.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from msgspec import Struct, structs

from ayllu.config import Settings
from ayllu.gguf import arch
from ayllu.gguf.cache import Stamp, cached_header, stamp
from ayllu.gguf.shards import shards_of
from ayllu.models.model import Model
from ayllu.models.modelfile import check_scales
from ayllu.runner.options import DRAFT_TOKENS, LoadOptions
from ayllu.system import memory
from ayllu.types import Options

MIN_CONTEXT = 4
MIN_MEDIA_CONTEXT = 2048
"""Of models that see or hear, as in Ollama: an image takes hundreds of tokens."""

MAX_THREADS = 512
CPU_BATCH = 128
"""Tokens per step without a GPU: a long prompt delays other streams by a step, not by all of it."""

GPU_BATCH = 512
MIN_BATCH = 32
EMBEDDING_BATCH = 8192
"""An input has to be embedded in one step."""

MEMORY_SHARE = 0.8
"""What a model may take of the available memory before fewer slots are opened for it."""


class ModelFacts(Struct, frozen=True):
    """What loading needs to know of a model file; sizes in bytes.

    `width` is the embedding's, in numbers; `speculation` is how it drafts for others.
    """

    weights: int
    trained_context: int
    kv_per_token: int
    pools: bool
    ranks: bool = False
    width: int = 0
    speculation: str = ""


def model_facts(path: Path, kv_cache_type: str) -> ModelFacts:
    """A file's facts, read once as long as it stays the same; no unsound file has any.

    Raises GGUFError.
    """
    return _facts(path, stamp(path), kv_cache_type)


@lru_cache(maxsize=256)
def _facts(path: Path, _stamp: Stamp, kv_cache_type: str) -> ModelFacts:
    header, parts = cached_header(path), shards_of(path)
    arch.check(header)
    for part in parts[1:]:
        cached_header(part)
    return ModelFacts(
        weights=sum(part.stat().st_size for part in parts),
        trained_context=arch.context_length(header),
        kv_per_token=arch.kv_bytes(header, context=1, cache_type=kv_cache_type),
        pools=arch.pools(header),
        ranks=arch.ranks(header),
        width=arch.embedding_length(header),
        speculation=arch.speculation(header),
    )


@lru_cache(maxsize=256)
def _image_step(path: Path, _stamp: Stamp) -> int:
    """The same of what is added to a model: a sound file's tokens of an image, 0 for an adapter."""
    header = cached_header(path)
    arch.check(header)
    return arch.image_step(header)


def file_bytes(paths: Iterable[Path]) -> int:
    """The size of all files; those that are gone have none."""
    sizes = 0
    for path in paths:
        with suppress(FileNotFoundError):
            sizes += path.stat().st_size
    return sizes


def load_facts(load: LoadOptions) -> ModelFacts:
    """The facts of all that is loaded together: the model, what is added to it, and its draft."""
    facts = model_facts(load.model, load.kv_cache_type)
    added = file_bytes((*load.projectors, *load.adapters))
    if load.draft is None or not load.draft_tokens:
        return structs.replace(facts, weights=facts.weights + added)
    draft = model_facts(load.draft, load.kv_cache_type)
    return structs.replace(
        facts,
        weights=facts.weights + added + draft.weights,
        kv_per_token=facts.kv_per_token + draft.kv_per_token,
    )


def plan_load(
    model: Model, options: Options, settings: Settings, *, gpus: int, embedding: bool
) -> LoadOptions:
    """The load options for a request, with one slot (`choose_parallel` decides how many)."""
    scales = adapter_scales(model, options)
    facts = model_facts(model.path, settings.kv_cache_type)
    context = choose_context(
        options.num_ctx,
        settings.context_length,
        facts.trained_context,
        least=MIN_MEDIA_CONTEXT if model.projectors else MIN_CONTEXT,
    )
    steps = [_image_step(path, stamp(path)) for path in (*model.projectors, *model.adapters)]
    usual = max([GPU_BATCH if gpus else CPU_BATCH, *steps])
    asked = min(options.num_batch or 0, context)
    draft = None if embedding else _draft(model, settings.kv_cache_type)
    return LoadOptions(
        model=model.path,
        context=context,
        batch=min(EMBEDDING_BATCH, context) if embedding else max(MIN_BATCH, asked or usual),
        embedding=embedding,
        pooling=_pooling(facts) if embedding else None,
        projectors=model.projectors,
        adapters=model.adapters,
        adapter_scales=tuple(scales.values()) if embedding else (),
        overrides=model.overrides,
        draft=draft,
        speculation=model_facts(draft, settings.kv_cache_type).speculation if draft else "",
        draft_tokens=_draft_tokens(options) if draft else 0,
        threads=min(options.num_thread or 0, MAX_THREADS),
        gpu_layers=options.num_gpu,
        main_gpu=options.main_gpu,
        mmap=options.use_mmap,
        flash_attention=settings.flash_attention,
        kv_cache_type=settings.kv_cache_type,
        cache_ram=settings.cache_ram,
    )


def _pooling(facts: ModelFacts) -> str | None:
    """What makes one vector, or one score, of a text; None where the model says it itself."""
    if facts.ranks:
        return "rank"
    return None if facts.pools else "mean"


def _draft(model: Model, kv_cache_type: str) -> Path | None:
    """The draft model; none where its width would make the engine fail on the first image."""
    if not model.drafts:
        return None
    widths = {model_facts(path, kv_cache_type).width for path in (model.path, model.drafts[-1])}
    return None if model.projectors and len(widths) > 1 else model.drafts[-1]


def _draft_tokens(options: Options) -> int:
    """Tokens to draft at a time; 0 where drafting is turned off."""
    wanted = options.draft_num_predict
    return DRAFT_TOKENS if wanted is None else max(wanted, 0)


def adapter_scales(model: Model, options: Options) -> dict[Path, float]:
    """How much of each of a model's adapters counts: 1 where nothing is said.

    Raises BadRequestError for more scales than adapters.
    """
    given = options.adapter_scale or ()
    check_scales(given, len(model.adapters))
    ones = (1.0,) * (len(model.adapters) - len(given))
    return dict(zip(model.adapters, (*given, *ones), strict=True))


def serves(loaded: LoadOptions, wanted: LoadOptions, options: Options) -> bool:
    """Whether a loaded model fits a request; what the request leaves open may differ."""
    left_open = {
        "parallel": True,
        "adapters": not wanted.embedding and {*wanted.adapters} <= {*loaded.adapters},
        "context": options.num_ctx is None,
        "batch": options.num_batch is None,
        "threads": not options.num_thread,
        "gpu_layers": options.num_gpu is None or options.num_gpu < 0,
        "main_gpu": options.main_gpu is None,
        "mmap": options.use_mmap is None,
        "draft_tokens": options.draft_num_predict is None,
        "workers": True,
        "tensor_split": True,
    }
    same = {name: getattr(loaded, name) for name, is_open in left_open.items() if is_open}
    return structs.replace(wanted, **same) == loaded


def choose_context(
    asked: int | None, default: int, trained: int, *, least: int = MIN_CONTEXT
) -> int:
    """Tokens of context per slot: what was asked, at most what the model was trained for.

    `trained` is 0 where the model does not say.
    """
    wanted = max(default if asked is None else asked, least)
    return max(MIN_CONTEXT, min(wanted, trained) if trained else wanted)


def slots_for(load: LoadOptions, settings: Settings, *, gpus: int) -> int:
    """Slots to open now; with a graphics card the engine itself fits the model in."""
    if load.embedding:
        return 1
    if gpus:
        return settings.num_parallel
    facts = load_facts(load)
    return choose_parallel(
        settings.num_parallel,
        weights=facts.weights,
        kv_per_slot=facts.kv_per_token * load.context,
        available=memory().available,
    )


def choose_parallel(wanted: int, *, weights: int, kv_per_slot: int, available: int) -> int:
    """Slots to open: as many of `wanted` as fit beside the weights, and at least one.

    All sizes are in bytes.
    """
    room = MEMORY_SHARE * available - weights
    return max(1, min(wanted, int(room // kv_per_slot) if kv_per_slot else wanted))


def footprint(facts: ModelFacts, load: LoadOptions) -> int:
    """Bytes that a loaded model takes: weights and KV cache; buffers are small beside them.

    `facts` are those of `load_facts`.
    """
    return facts.weights + facts.kv_per_token * load.context * load.parallel

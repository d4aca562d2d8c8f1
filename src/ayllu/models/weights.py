"""The GGUF files that a model is made of: checked, described, published. Never the user's paths.

Errors speak of the names that the user knows the files by.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from msgspec import structs

from ayllu.errors import BadRequestError, GGUFError
from ayllu.gguf import arch, vocab
from ayllu.gguf.cache import cached_header
from ayllu.gguf.lora import misfit
from ayllu.gguf.read import Header
from ayllu.models.files import Draft
from ayllu.models.manifest import ADAPTER_TYPE, DRAFT_TYPE, MODEL_TYPE, PROJECTOR_TYPE, parse_digest
from ayllu.models.name import parse_name, short_name
from ayllu.models.store import Store
from ayllu.types import Layer, ModelConfig

LAYER_TYPES = {"model": MODEL_TYPE, "projector": PROJECTOR_TYPE}

_HASHED_AT_ONCE = 64 << 20
"""Bytes between two looks at whether anybody still waits for the digest."""


def header_of(store: Store, path: str, digest: str) -> Header:
    """A blob's header, checked; `path` is what the user calls it. Raises BadRequestError."""
    header = any_header(store, path, digest)
    if arch.split_count(header) > 1:
        raise BadRequestError(f"{path} is a part of a model: give all parts as the model's files")
    return header


def any_header(store: Store, path: str, digest: str) -> Header:
    """The same of a file that may be a part of a model."""
    blob = store.blob_path(digest)
    if not store.has_blob(digest):
        raise BadRequestError(f"the file {path} is not here: send {digest} first")
    try:
        header = cached_header(blob)
        if arch.split_count(header) <= 1:
            arch.check(header)
    except GGUFError as error:
        sentence = str(error).replace(blob.name, path)
        if sentence.endswith("is not a GGUF file"):
            sentence = "supplied file was not in GGUF format"
        raise GGUFError(sentence) from error
    return header


def layer_of(store: Store, digest: str, media_type: str) -> Layer:
    """A blob as a layer."""
    return Layer(media_type, parse_digest(digest), store.blob_path(digest).stat().st_size)


def config_of(header: Header, *, projector: bool) -> ModelConfig:
    """What a model's config says of its file."""
    family = arch.architecture(header)
    return ModelConfig(
        model_format="gguf",
        model_family=family,
        model_families=(family, "clip") if projector else (family,),
        model_type=arch.human_count(arch.parameter_count(header)),
        file_type=arch.file_type(header),
        context_length=arch.context_length(header),
        embedding_length=arch.embedding_length(header),
        architecture="amd64",
        os="linux",
    )


def adapter_layer(store: Store, path: str, digest: str, model: Header) -> Layer:
    """A LoRA adapter, which must fit the model. Raises BadRequestError."""
    header = header_of(store, path, digest)
    if arch.kind(header) != "adapter":
        raise BadRequestError(f"{path} is not a LoRA adapter")
    if why := misfit(header, model):
        raise BadRequestError(f"{path} {why}")
    return layer_of(store, digest, ADAPTER_TYPE)


def draft_layer(store: Store, path: str, digest: str, model: Header) -> Layer:
    """A model that drafts, with the model's vocabulary. Raises BadRequestError."""
    header = header_of(store, path, digest)
    if arch.kind(header) != "model":
        raise BadRequestError(f"{path} is not a model that could draft")
    if arch.speculation(header) == "draft-simple" and (why := vocab.mismatch(header, model)):
        raise BadRequestError(f"{path} cannot draft for this model: {why}")
    return layer_of(store, digest, DRAFT_TYPE)


def named_draft_layer(store: Store, text: str, model: Header) -> Layer:
    """The same of a model in the store. Raises NotFoundError too."""
    stored = store.manifest(parse_name(text))
    layers = [layer for layer in stored.manifest.layers if layer.media_type == MODEL_TYPE]
    if not layers:
        raise BadRequestError(f"model '{text}' has no GGUF file that could draft")
    layer = draft_layer(store, text, layers[0].digest, model)
    return structs.replace(layer, from_=short_name(stored.name))


async def published(store: Store, new: Draft, media_type: str) -> Layer:
    """A file that was written becomes a blob, once it is found sound."""
    digest = await _digest(new.path)
    blob = store.blob_path(digest)
    if not blob.is_file():
        await asyncio.to_thread(new.publish, blob)
    header = await asyncio.to_thread(cached_header, blob)
    return Layer(media_type, digest, header.file_size)


async def _digest(path: Path) -> str:
    """A file's digest, worked out outside the event loop."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while data := await asyncio.to_thread(file.read, _HASHED_AT_ONCE):
            await asyncio.to_thread(hashed.update, data)
    return f"sha256:{hashed.hexdigest()}"

"""Manifests, digests and config blobs: the JSON that says what a model is made of.

A model's id is the sha256 of its manifest's bytes, so bytes from elsewhere are kept unchanged and
only manifests of our own are encoded here. Docker's image manifest version 2, schema 2.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from ayllu.errors import BadRequestError
from ayllu.types import Json, Layer, Manifest, Message, ModelConfig

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
MODEL_TYPE = "application/vnd.ollama.image.model"
PROJECTOR_TYPE = "application/vnd.ollama.image.projector"
ADAPTER_TYPE = "application/vnd.ollama.image.adapter"
DRAFT_TYPE = "application/vnd.ollama.image.draft"
TEMPLATE_TYPE = "application/vnd.ollama.image.template"
PROMPT_TYPE = "application/vnd.ollama.image.prompt"
SYSTEM_TYPE = "application/vnd.ollama.image.system"
PARAMS_TYPE = "application/vnd.ollama.image.params"
MESSAGES_TYPE = "application/vnd.ollama.image.messages"
LICENSE_TYPE = "application/vnd.ollama.image.license"
TENSOR_TYPE = "application/vnd.ollama.image.tensor"
TUNED_TYPE = "application/vnd.ayllu.image.tuned"
"""Our own: JSON that says how a model was trained. Ollama keeps layers that it does not know."""

MAX_MANIFEST_BYTES = 4 << 20
MAX_CONFIG_BYTES = 4 << 20

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")


class ManifestError(BadRequestError):
    """A manifest or config is not what it should be."""


class _Wire(msgspec.Struct, rename="camel"):
    """A manifest as others write it: Go writes an empty list as null."""

    config: Layer
    schema_version: int = 2
    media_type: str = MANIFEST_TYPE
    layers: tuple[Layer, ...] | None = None


def parse_digest(text: str) -> str:
    """The digest as `sha256:<64 hex>`, lower-case, from either of its two spellings.

    Every digest passes here before it becomes a part of a path. Raises BadRequestError `invalid
    digest format`.
    """
    match = _DIGEST.fullmatch(text)
    if not match:
        raise BadRequestError("invalid digest format")
    return f"sha256:{match[1].lower()}"


def digest_of(data: bytes) -> str:
    """The digest of some bytes, as `sha256:<64 hex>`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def parse_manifest(data: bytes) -> Manifest:
    """The manifest in some bytes, with every digest and size in it checked.

    Raises ManifestError, a BadRequestError.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"the manifest is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        wire = msgspec.json.decode(data, type=_Wire)
        config, *layers = (_checked(layer) for layer in (wire.config, *(wire.layers or ())))
    except (*_UNREADABLE, BadRequestError) as error:
        raise ManifestError(f"the manifest cannot be used: {error}") from error
    if wire.schema_version != 2:
        raise ManifestError(f"the manifest has schema version {wire.schema_version}, not 2")
    return Manifest(wire.schema_version, wire.media_type, config, tuple(layers))


def _checked(layer: Layer) -> Layer:
    if layer.size < 0:
        raise ManifestError("a layer has a negative size")
    return msgspec.structs.replace(layer, digest=parse_digest(layer.digest))


def encode_manifest(config: Layer, layers: tuple[Layer, ...]) -> bytes:
    """A manifest of our own."""
    return msgspec.json.encode(Manifest(2, MANIFEST_TYPE, config, layers))


def parse_config(data: bytes) -> ModelConfig:
    """The config in a blob; fields that we do not know are ignored. Raises ManifestError."""
    try:
        return msgspec.json.decode(data, type=ModelConfig)
    except _UNREADABLE as error:
        raise ManifestError(f"the model's config cannot be used: {error}") from error


def encode_config(config: ModelConfig) -> bytes:
    """A config blob."""
    return msgspec.json.encode(config)


def parse_params(data: bytes) -> dict[str, Json]:
    """The parameters in a params layer. Raises ManifestError."""
    try:
        return msgspec.json.decode(data, type=dict[str, Json])
    except _UNREADABLE as error:
        raise ManifestError(f"the model's parameters cannot be used: {error}") from error


def parse_messages(data: bytes) -> tuple[Message, ...]:
    """The example conversation in a messages layer. Raises ManifestError."""
    try:
        return msgspec.json.decode(data, type=tuple[Message, ...])
    except _UNREADABLE as error:
        raise ManifestError(f"the model's messages cannot be used: {error}") from error

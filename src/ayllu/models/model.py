"""A model, opened: the files the engine needs and all that its layers say, in one frozen record."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct, field

from ayllu.errors import BadRequestError, StoreError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_fill_tokens, cached_header
from ayllu.models.copies import stem_of
from ayllu.models.formats import parser_name
from ayllu.models.manifest import (
    ADAPTER_TYPE,
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
    ManifestError,
    parse_config,
    parse_messages,
    parse_params,
)
from ayllu.models.name import short_name
from ayllu.models.store import Store, StoredManifest
from ayllu.models.templates import prefers_jinja
from ayllu.types import Json, Layer, Message, ModelConfig, ModelName

MAX_LAYER_BYTES = 16 << 20
MOST_CONFIGS = 1 << 14
_PLACE = re.compile(r"\s*\{\{-?\s*\.Prompt\s*-?\}\}\s*")


class Model(Struct, frozen=True, kw_only=True):
    """A model of the store.

    `digest` is the manifest's, hex without prefix. `path` is the GGUF's, as the manifest's `blob`
    is, though that may be of an uncorrected one. `template` is a Go
    template, None where there is at most the GGUF's own Jinja template; `wants_go` says whether it
    is used though there is Jinja, None that what they can do decides. `modified_at` is a Unix time
    in nanoseconds, `size` in bytes. `parent` names the model that it was made from.

    `stems` say where corrected copies of the files belong (models/copies.py), `overrides` which
    keys of the GGUF the engine is told otherwise. `tuned` says how the model was trained, if it
    was.
    """

    name: ModelName
    digest: str
    path: Path
    blob: Layer | None = None
    projectors: tuple[Path, ...] = ()
    adapters: tuple[Path, ...] = ()
    drafts: tuple[Path, ...] = ()
    template: str | None = None
    wants_go: bool | None = None
    system: str = ""
    params: dict[str, Json] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    licenses: tuple[str, ...] = ()
    tuned: dict[str, Json] = field(default_factory=dict)
    config: ModelConfig = ModelConfig()
    modified_at: int = 0
    size: int = 0
    parent: str = ""
    stems: dict[Path, Path] = field(default_factory=dict)
    overrides: dict[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def go_template(self) -> str | None:
        """The Go template, where it is the one in use. Raises GGUFError for a damaged file.

        Not where it only holds a named renderer's place, nor where the GGUF's Jinja is better.
        """
        text, config = self.template, self.config
        if text is None or (config.renderer and _PLACE.fullmatch(text)):
            return None
        header = cached_header(self.path)
        jinja = arch.chat_template(header)
        if not jinja or self.wants_go:
            return text
        if self.wants_go is None:
            if config.renderer or parser_name(config, text):
                return text
            fills = cached_fill_tokens(self.path) is not None
            return None if prefers_jinja(text, jinja, fills=fills) else text
        return None


def open_model(store: Store, name: ModelName, *, wants_go: bool | None = None) -> Model:
    """Read a model's layers, the GGUF's own bytes apart.

    Raises NotFoundError `model 'x' not found`, StoreError when a layer is missing or damaged, and
    BadRequestError for a model without a GGUF (safetensors, or one that lives on another host).
    """
    stored = store.manifest(name)
    try:
        return _open(store, stored, wants_go)
    except ManifestError as error:
        raise StoreError(f"{_broken(stored)}: {error}") from error


def read_config(store: Store, stored: StoredManifest) -> ModelConfig:
    """A model's config alone, which is all that a list of models needs. Raises StoreError.

    One that was read once is kept: a digest means the same bytes for ever.
    """
    digest = stored.manifest.config.digest
    if known := store.configs.get(digest):
        return known
    try:
        config = parse_config(store.read_blob(digest, MAX_CONFIG_BYTES))
    except (ManifestError, StoreError) as error:
        raise StoreError(f"{_broken(stored)}: {error}") from error
    if len(store.configs) >= MOST_CONFIGS:
        store.configs.clear()
    store.configs[digest] = config
    return config


def _open(store: Store, stored: StoredManifest, wants_go: bool | None) -> Model:
    texts = _Texts(store, stored)
    models = texts.paths(MODEL_TYPE)
    if not models:
        raise BadRequestError(
            f"model '{short_name(stored.name)}' has no GGUF file: models of other formats and "
            "remote models cannot be used here",
        )
    config = texts.read(stored.manifest.config)
    params = texts.last(PARAMS_TYPE)
    messages = texts.last(MESSAGES_TYPE)
    tuned = texts.last(TUNED_TYPE)
    blob = texts.of(MODEL_TYPE)[0]
    return Model(
        name=stored.name,
        digest=stored.digest,
        path=models[0],
        blob=blob,
        projectors=texts.paths(PROJECTOR_TYPE),
        adapters=texts.paths(ADAPTER_TYPE),
        drafts=texts.paths(DRAFT_TYPE),
        template=texts.last_text(TEMPLATE_TYPE, PROMPT_TYPE),
        wants_go=wants_go,
        system=texts.last_text(SYSTEM_TYPE) or "",
        params=parse_params(params) if params is not None else {},
        messages=parse_messages(messages) if messages is not None else (),
        licenses=tuple(
            texts.read(layer).decode(errors="replace") for layer in texts.of(LICENSE_TYPE)
        ),
        tuned=parse_params(tuned) if tuned is not None else {},
        config=parse_config(config) if config else ModelConfig(),
        modified_at=stored.modified_at,
        size=stored.size,
        parent=blob.from_,
        stems={
            store.blob_path(layer.digest): stem_of(store.root, layer.digest)
            for layer in texts.of(MODEL_TYPE, PROJECTOR_TYPE)
        },
    )


class _Texts(Struct):
    """The layers of one model, by media type."""

    store: Store
    stored: StoredManifest

    def of(self, *media_types: str) -> tuple[Layer, ...]:
        return tuple(
            layer for layer in self.stored.manifest.layers if layer.media_type in media_types
        )

    def paths(self, media_type: str) -> tuple[Path, ...]:
        layers = self.of(media_type)
        for layer in layers:
            if not self.store.has_blob(layer.digest):
                raise StoreError(
                    f"{_broken(self.stored)}: {self.store.blob_path(layer.digest).name} is missing "
                    f"from {self.store.blobs}",
                )
        return tuple(self.store.blob_path(layer.digest) for layer in layers)

    def read(self, layer: Layer) -> bytes:
        config = self.stored.manifest.config
        try:
            return self.store.read_blob(
                layer.digest, MAX_CONFIG_BYTES if layer == config else MAX_LAYER_BYTES
            )
        except StoreError as error:
            raise StoreError(f"{_broken(self.stored)}: {error}") from error

    def last(self, *media_types: str) -> bytes | None:
        layers = self.of(*media_types)
        return self.read(layers[-1]) if layers else None

    def last_text(self, *media_types: str) -> str | None:
        data = self.last(*media_types)
        return None if data is None else data.decode(errors="replace")


def _broken(stored: StoredManifest) -> str:
    name = short_name(stored.name)
    return f"model '{name}' is incomplete and has to be pulled or created again"

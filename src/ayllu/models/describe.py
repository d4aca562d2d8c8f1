"""What /api/tags and /api/show say about a model, in structs with Ollama's JSON field names.

Pure, but for a look into the headers of the model's GGUF files, which is kept.
Source: https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from __future__ import annotations

import json
from itertools import chain

from msgspec import UNSET, Struct, UnsetType

from ayllu.gguf import arch
from ayllu.gguf.cache import cached_fill_tokens, cached_header
from ayllu.gguf.read import GGUFArray, Header
from ayllu.gguf.shards import shards_of
from ayllu.gotime import format_time
from ayllu.models.corrected import find_correction
from ayllu.models.formats import HARMONY_FAMILIES, format_capabilities, parser_name
from ayllu.models.model import Model
from ayllu.models.modelfile import quote
from ayllu.models.name import short_name
from ayllu.models.store import StoredManifest
from ayllu.models.templates import go_template_capabilities
from ayllu.types import Json, Message, ModelConfig

CAPABILITIES = (
    "completion",
    "vision",
    "audio",
    "tools",
    "insert",
    "embedding",
    "rerank",
    "thinking",
    "image",
)
"""In the order in which they are shown."""

_LEFT_OUT = frozenset({"general.name", "tokenizer.chat_template"})


class Details(Struct, frozen=True, kw_only=True):
    """A model in a few words. The two lengths are left out where the config does not know them."""

    parent_model: str
    format: str
    family: str
    families: tuple[str, ...] | None
    parameter_size: str
    quantization_level: str
    context_length: int | UnsetType = UNSET
    embedding_length: int | UnsetType = UNSET


class TagsModel(Struct, frozen=True, kw_only=True):
    """A row of /api/tags."""

    name: str
    model: str
    remote_model: str | UnsetType = UNSET
    remote_host: str | UnsetType = UNSET
    modified_at: str
    size: int
    digest: str
    details: Details
    capabilities: tuple[str, ...] | UnsetType = UNSET


class ShownTensor(Struct, frozen=True):
    """A tensor of a verbose /api/show."""

    name: str
    type: str
    shape: tuple[int, ...]


class ShowResponse(Struct, frozen=True, kw_only=True):
    """The answer of /api/show.

    `draft_info` is ours: what `projector_info` is, of a draft model. So is `tuned`: how the model
    was trained (docs/tune.md).
    """

    license: str | UnsetType = UNSET
    modelfile: str | UnsetType = UNSET
    parameters: str | UnsetType = UNSET
    template: str | UnsetType = UNSET
    system: str | UnsetType = UNSET
    renderer: str | UnsetType = UNSET
    parser: str | UnsetType = UNSET
    details: Details
    messages: tuple[Message, ...] | UnsetType = UNSET
    remote_model: str | UnsetType = UNSET
    remote_host: str | UnsetType = UNSET
    model_info: dict[str, Json]
    projector_info: dict[str, Json] | UnsetType = UNSET
    draft_info: dict[str, Json] | UnsetType = UNSET
    tuned: dict[str, Json] | UnsetType = UNSET
    tensors: tuple[ShownTensor, ...] | UnsetType = UNSET
    capabilities: tuple[str, ...] | UnsetType = UNSET
    modified_at: str
    requires: str | UnsetType = UNSET


def tags_model(stored: StoredManifest, config: ModelConfig, parent: str = "") -> TagsModel:
    """A row of /api/tags, from the manifest and the config alone (`models.model.read_config`)."""
    name = short_name(stored.name)
    return TagsModel(
        name=name,
        model=name,
        remote_model=config.remote_model or UNSET,
        remote_host=config.remote_host or UNSET,
        modified_at=_modified(stored.modified_at),
        size=stored.size,
        digest=stored.digest,
        details=details(config, parent),
        capabilities=config.capabilities or UNSET,
    )


def show(model: Model, *, verbose: bool = False) -> ShowResponse:
    """The answer of /api/show; `verbose` adds tensors and the items of arrays.

    Raises GGUFError when the model's file is damaged.
    """
    header, *others = (cached_header(path) for path in shards_of(model.path))
    config = model.config
    info = model_info(header, verbose=verbose)
    info["general.parameter_count"] = sum(map(arch.parameter_count, (header, *others)))
    projectors = [cached_header(path) for path in model.projectors]
    return ShowResponse(
        license="\n".join(model.licenses) or UNSET,
        modelfile=modelfile_text(model),
        parameters=parameters_text(model.params) or UNSET,
        template=model.template or UNSET,
        system=model.system or UNSET,
        renderer=config.renderer or UNSET,
        parser=config.parser or UNSET,
        details=details(config, model.parent),
        messages=model.messages or UNSET,
        remote_model=config.remote_model or UNSET,
        remote_host=config.remote_host or UNSET,
        model_info=info,
        projector_info=model_info(projectors[0], verbose=verbose) if projectors else UNSET,
        draft_info=_draft_info(model, verbose=verbose) if model.drafts else UNSET,
        tuned=model.tuned or UNSET,
        tensors=tuple(chain(*map(tensors, (header, *others)))) if verbose else UNSET,
        capabilities=capabilities(model) or UNSET,
        modified_at=_modified(model.modified_at),
        requires=config.requires or UNSET,
    )


def details(config: ModelConfig, parent: str = "") -> Details:
    """The details of a model."""
    return Details(
        parent_model=parent,
        format=config.model_format,
        family=config.model_family,
        families=config.model_families,
        parameter_size=config.model_type,
        quantization_level=config.file_type,
        context_length=config.context_length or UNSET,
        embedding_length=config.embedding_length or UNSET,
    )


def model_info(header: Header, *, verbose: bool = False) -> dict[str, Json]:
    """The header's keys in order of name; arrays are null unless `verbose`."""
    info: dict[str, Json] = {"general.parameter_count": arch.parameter_count(header)}
    for key, value in header.kvs.items():
        if key not in _LEFT_OUT:
            info[key] = _shown(value, verbose=verbose)
    return dict(sorted(info.items()))


def _draft_info(model: Model, *, verbose: bool) -> dict[str, Json]:
    """The draft model's keys, with its name and its quantization in words."""
    header = cached_header(model.drafts[-1])
    named = {"general.name": name} if (name := header.kvs.get("general.name")) else {}
    words = {"general.quantization": arch.file_type(header)}
    return dict(sorted((model_info(header, verbose=verbose) | named | words).items()))


def tensors(header: Header) -> tuple[ShownTensor, ...]:
    """The tensors, with their types and shapes."""
    return tuple(ShownTensor(t.name, t.type_name, t.shape) for t in header.tensors)


def capabilities(model: Model) -> tuple[str, ...]:
    """What a model can do, from its config, its weights, its projectors, its template and parser.

    Only the template that is in use counts, Go's or Jinja's.
    """
    header = cached_header(model.path)
    found = set(model.config.capabilities) | arch.capabilities(header)
    if not model.projectors and (correction := find_correction(model.path)):
        found -= {"vision", "audio"}
        found |= {"vision"} if correction.projector else set()
    for path in model.projectors:
        found |= arch.projector_capabilities(cached_header(path))
    if "completion" in found and cached_fill_tokens(model.path) is not None:
        found.add("insert")
    template = model.go_template
    if template is None:
        found |= arch.template_capabilities(arch.chat_template(header))
    else:
        found |= go_template_capabilities(template)
    found |= format_capabilities(parser_name(model.config, template))
    if model.config.model_family in HARMONY_FAMILIES:
        found.add("thinking")
    return tuple(name for name in CAPABILITIES if name in found)


def parameters_text(params: dict[str, Json]) -> str:
    """The parameters as /api/show has them: a line each, the name padded to 30 columns."""
    return "\n".join(f"{name:<30} {_json(item)}" for name, item in _items(params))


def modelfile_text(model: Model) -> str:
    """A Modelfile that makes the same model again."""
    own = short_name(model.name)
    lines = [
        '# Modelfile generated by "ollama show"',
        "# To build a new Modelfile based on this, replace FROM with:",
        f"# FROM {own}",
        "",
        f"FROM {model.path}",
    ]
    lines += [f"FROM {path}" for path in model.projectors]
    lines += [f"ADAPTER {path}" for path in model.adapters]
    lines += [f"DRAFT {path}" for path in model.drafts]
    texts = {
        "TEMPLATE": model.template,
        "SYSTEM": model.system,
        "RENDERER": model.config.renderer,
        "PARSER": model.config.parser,
        "REQUIRES": model.config.requires,
    }
    lines += [f"{name} {quote(text)}" for name, text in texts.items() if text]
    lines += [f"PARAMETER {name} {quote(_written(item))}" for name, item in _items(model.params)]
    lines += [f"LICENSE {quote(text)}" for text in model.licenses]
    lines += [f"MESSAGE {message.role} {quote(message.content)}" for message in model.messages]
    return "\n".join(lines) + "\n"


def _items(params: dict[str, Json]) -> list[tuple[str, Json]]:
    """Names and values in order of name, one for each item of a list."""
    return [
        (name, item)
        for name, value in sorted(params.items())
        for item in (value if isinstance(value, list) else [value])
    ]


def _written(value: Json) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Json) -> str:
    """A value as Go prints it: whole floats without a fraction."""
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value, ensure_ascii=False)


def _shown(value: Json, *, verbose: bool) -> Json:
    if isinstance(value, GGUFArray):
        return value.items() if verbose else None
    return value


def _modified(nanoseconds: int) -> str:
    return format_time(nanoseconds, utc=False)

"""Model names: `host/namespace/model:tag`, with the parts that a user may leave out.

A part that passes here begins with a letter, a digit or `_` and holds no slash, so that no name can
reach out of the manifests folder.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

from ayllu.errors import BadRequestError
from ayllu.types import ModelName

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
HUB_HOSTS = frozenset({"hf.co", "huggingface.co"})
"""Hugging Face's Hub, by its two names."""

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_MODEL = _TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_OTHER_SOURCE = {"local": ":cloud", "cloud": ":local"}
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def parse_name(text: str) -> ModelName:
    """The name in `[scheme://]host/namespace/model[:tag]`, with Ollama's defaults filled in.

    Two parts are namespace and model. The scheme is not part of a name and is dropped; with one,
    host and namespace must be there. Raises BadRequestError `invalid model name`.
    """
    scheme, separator, rest = text.rpartition("://")
    if separator and (scheme.lower() not in {"http", "https"} or rest.count("/") != 2):
        raise BadRequestError("invalid model name")
    path, tag = rest, DEFAULT_TAG
    if rest.rfind(":") > rest.rfind("/"):
        path, _, tag = rest.rpartition(":")
    parts = path.split("/")
    if len(parts) > 3:
        raise BadRequestError("invalid model name")
    host, namespace, model = [DEFAULT_HOST, DEFAULT_NAMESPACE][: 3 - len(parts)] + parts
    name = ModelName(host, namespace, model, tag)
    if not is_valid(name):
        raise BadRequestError("invalid model name")
    return name


def split_source(text: str) -> tuple[str, str]:
    """A name without its source, and the source: `local`, `cloud`, or "" where it names none.

    Ollama's clients end a name in `:local` or `:cloud`, or its tag in `-cloud`, in any case.
    Raises BadRequestError for two sources.
    """
    name, separator, last = text.rpartition(":")
    if separator and "/" not in last:
        source = last.lower()
        if source in _OTHER_SOURCE:
            if name.lower().endswith(_OTHER_SOURCE[source]):
                raise BadRequestError(f'use either :local or :cloud, not both: "{text}"')
            return name, source
        if source.endswith("-cloud"):
            return text[: -len("-cloud")], "cloud"
    return text, ""


@lru_cache(maxsize=4096)
def is_valid(name: ModelName) -> bool:
    """Whether every part is one that a manifest's path may be built from."""
    return bool(
        _HOST.fullmatch(name.host)
        and _NAMESPACE.fullmatch(name.namespace)
        and _MODEL.fullmatch(name.model)
        and _TAG.fullmatch(name.tag)
    )


def short_name(name: ModelName) -> str:
    """The name as shown: default host and namespace left out, the tag always kept."""
    if name.host.lower() != DEFAULT_HOST:
        return full_name(name)
    if name.namespace.lower() != DEFAULT_NAMESPACE:
        return f"{name.namespace}/{name.model}:{name.tag}"
    return f"{name.model}:{name.tag}"


def full_name(name: ModelName) -> str:
    """All four parts."""
    return f"{name.host}/{name.namespace}/{name.model}:{name.tag}"


def manifest_path(name: ModelName, *, windows: bool = os.name == "nt") -> str:
    """Where a name's manifest lies below the manifests folder.

    Raises BadRequestError for an invalid name, and on Windows for one that Windows would read as
    something else: a drive, a device, or a file without the dot at its end.
    """
    parts = (name.host, name.namespace, name.model, name.tag)
    if not is_valid(name):
        raise BadRequestError("invalid model name")
    if windows and any(
        ":" in part or part.endswith(".") or _WINDOWS_DEVICE.fullmatch(part) for part in parts
    ):
        raise BadRequestError(f"Windows cannot store a model named {full_name(name)}")
    return "/".join(parts)

"""How GGUF files in somebody's folders are called here, and which of them belong together. Pure.

A name comes of the path alone, so that listing a folder opens none of its files:

    mistral-7b.Q4_K_M.gguf                        mistral-7b.Q4_K_M
    vision/llava.gguf                             vision/llava
    publisher/repo/llama-3-8b-Q4_K_M.gguf         hf.co/publisher/repo:Q4_K_M     (LM Studio)
    models--publisher--repo/snapshots/REV/x.gguf  hf.co/publisher/repo:latest     (Hugging Face)

Of several parts (`-00001-of-00003`) the first stands for all; a projector (`mmproj` in its name)
belongs to the models beside it.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from msgspec import Struct

from ayllu.gguf.shards import set_name, shard_number
from ayllu.models.name import DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG
from ayllu.types import ModelName

HUB = "hf.co"
_LONGEST = 80
_TYPE = re.compile(
    r"(?:^|[-_.])((?:UD-)?(?:I?Q[1-8](?:_[0-9A-Z]+)*|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32))$",
    re.IGNORECASE,
)
_PROJECTOR = re.compile(r"(?:^|[-_.])mmproj(?=$|[-_.])", re.IGNORECASE)
_HUB_CACHE = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/[^/]+/(?:.*/)?([^/]+)")


class FoundModel(Struct, frozen=True):
    """A model among some files: its name, its first file and its projectors, as relative paths."""

    name: ModelName
    path: str
    projectors: tuple[str, ...] = ()


def models_among(paths: Iterable[str]) -> tuple[FoundModel, ...]:
    """The models that some GGUF files are, relative to their folder and with `/`.

    The same files give the same names. Where two would have one name, all but the first by their
    paths end in six digits of a hash of their path.
    """
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        by_folder[path.rpartition("/")[0]].append(path)
    taken: set[ModelName] = set()
    found = []
    for files in by_folder.values():
        projectors = [path for path in files if is_projector(path)]
        models = [path for path in files if not is_projector(path) and _is_first(path)]
        stems = {_stem(path) for path in models}
        for path in models:
            name = name_of(path)
            if _folded(name) in taken:
                name = _apart(name, path)
            taken.add(_folded(name))
            found.append(FoundModel(name, path, _fitting(path, projectors, len(stems))))
    return tuple(found)


def name_of(path: str) -> ModelName:
    """The name of the model in a file, by its relative path."""
    parts = path.split("/")
    cached = _HUB_CACHE.fullmatch(path)
    if cached is not None:
        parts = [*cached.groups()]
    *folders, file = parts
    stem = set_name(file)
    if len(folders) == 2:
        publisher, repo = folders
        tag = quantization_in(file) or DEFAULT_TAG
        return ModelName(HUB, _valid(publisher, "-_"), _valid(repo), _valid(tag))
    namespace = _valid("-".join(folders), "-_") if folders else DEFAULT_NAMESPACE
    return ModelName(DEFAULT_HOST, namespace, _valid(stem), DEFAULT_TAG)


def is_projector(path: str) -> bool:
    """Whether a file is one for images or sound by its name, as everybody calls them."""
    return bool(_PROJECTOR.search(PurePosixPath(path).stem))


def preferred_projector(paths: Iterable[str]) -> str:
    """Of several projectors for one model: half precision is what most publish and all read."""
    order = {"F16": 0, "FP16": 0, "BF16": 1, "Q8_0": 2}
    return min(paths, key=lambda path: (order.get(quantization_in(path).upper(), 3), path))


def quantization_in(path: str) -> str:
    """The quantization that ends a file's name, as it is spelled there; empty where none does."""
    match = _TYPE.search(set_name(path.rpartition("/")[2]))
    return match[1] if match else ""


def _is_first(path: str) -> bool:
    number = shard_number(path.rpartition("/")[2])
    return number is None or number[0] == 1


def _stem(path: str) -> str:
    """What the quantizations of a model have in common in their names."""
    stem = set_name(path.rpartition("/")[2])
    return _TYPE.sub("", stem).lower()


def _fitting(path: str, projectors: Sequence[str], stems: int) -> tuple[str, ...]:
    """The projector of a model: where other models are beside it, the one that begins alike."""
    own = _stem(path)
    fitting = [
        projector
        for projector in projectors
        if stems == 1 or _alike(own, _PROJECTOR.sub("", _stem(projector)).strip("-_."))
    ]
    return (preferred_projector(fitting),) if fitting else ()


def _alike(model: str, projector: str) -> bool:
    return bool(projector) and (model.startswith(projector) or projector.startswith(model))


def _valid(text: str, also: str = "-_.") -> str:
    """A text as a part of a name: strange letters become dashes."""
    kept = re.sub(rf"[^A-Za-z0-9{re.escape(also)}]+", "-", text)
    return kept.strip("-.")[:_LONGEST].rstrip("-.") or "model"


def _apart(name: ModelName, path: str) -> ModelName:
    ending = f"-{hashlib.sha256(path.encode()).hexdigest()[:6]}"
    if name.host == HUB:
        return ModelName(*_parts(name)[:3], name.tag[: _LONGEST - len(ending)] + ending)
    model = name.model[: _LONGEST - len(ending)] + ending
    return ModelName(name.host, name.namespace, model, name.tag)


def _parts(name: ModelName) -> tuple[str, str, str, str]:
    return name.host, name.namespace, name.model, name.tag


def _folded(name: ModelName) -> ModelName:
    return ModelName(*(part.lower() for part in _parts(name)))

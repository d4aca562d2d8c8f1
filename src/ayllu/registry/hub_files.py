"""Which files of a Hugging Face repository make up the model that a tag names. Pure.

Tags are those of the Hub's own registry: a quantization in any case, or a file's name
(https://huggingface.co/docs/hub/ollama). Beyond it: files in parts, and weights not yet converted.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from msgspec import Struct

from ayllu.errors import BadRequestError, NotFoundError
from ayllu.gguf.shards import set_name, shard_number
from ayllu.gguf.tables import QUANTIZATIONS
from ayllu.models.gguf_names import is_projector, preferred_projector, quantization_in
from ayllu.models.name import DEFAULT_TAG

PREFERRED = ("Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "Q4_0", "IQ4_XS", "Q5_K_M", "Q6_K", "Q8_0", "F16")
"""What `latest` stands for: the first of these that is there, as with the Hub's registry."""

_MATRIX = re.compile(r"(^|[-._])imatrix([-._]|$)", re.IGNORECASE)
_WEIGHTS = (
    re.compile(r"model[^/]*\.safetensors"),
    re.compile(r"consolidated[^/]*\.safetensors"),
    re.compile(r"pytorch_model[^/]*\.bin"),
    re.compile(r"consolidated[^/]*\.pth"),
)
_BESIDE = re.compile(r"[^/]+\.json|tokenizer\.model|chat_template\.jinja")
_SHOWN = 12


class HubFile(Struct, frozen=True):
    """A file of a repository: `size` in bytes, `digest` as `sha256:<hex>`, empty where unknown."""

    path: str
    size: int
    digest: str = ""


class Selection(Struct, frozen=True):
    """The files of one model. `quantize` says what they are to become; empty: what they are."""

    files: tuple[HubFile, ...]
    quantize: str = ""

    @property
    def converts(self) -> bool:
        """Whether the files have to become a GGUF first."""
        return not self.files[0].path.lower().endswith(".gguf")


def select(files: Sequence[HubFile], tag: str) -> Selection:
    """The files that a tag names: GGUFs where there are any, else weights to convert.

    Raises NotFoundError with the tags that there are, BadRequestError where no model is.
    """
    ggufs = [file for file in files if file.path.lower().endswith(".gguf")]
    models = _models(ggufs)
    if models:
        return Selection((*_named(models, tag), *_projector(ggufs)))
    weights = _checkpoint(files)
    if not weights:
        raise BadRequestError("the repository holds no whole model (GGUF, safetensors or PyTorch)")
    kind = "" if tag == DEFAULT_TAG else tag.upper()
    if kind and kind not in QUANTIZATIONS:
        raise NotFoundError(
            f"the repository has no GGUF files and no tag '{tag}': take 'latest', or a type to "
            "quantize to, such as Q4_K_M"
        )
    return Selection(weights, kind)


def _models(ggufs: Iterable[HubFile]) -> dict[str, tuple[HubFile, ...]]:
    """The whole models by their paths without part numbers and ending, each with all its parts."""
    found: dict[str, dict[tuple[int, int], HubFile]] = defaultdict(dict)
    for file in ggufs:
        path = PurePosixPath(file.path)
        if not is_projector(file.path) and not _MATRIX.search(path.stem):
            stem = str(path.with_name(set_name(path.name)))
            found[stem][shard_number(path.name) or (1, 1)] = file
    return {
        stem: tuple(parts[number] for number in sorted(parts))
        for stem, parts in found.items()
        if sorted(parts) == [(number, len(parts)) for number in range(1, len(parts) + 1)]
    }


def _named(models: Mapping[str, tuple[HubFile, ...]], tag: str) -> tuple[HubFile, ...]:
    for word in PREFERRED if tag == DEFAULT_TAG else (tag,):
        fitting = [stem for stem in models if _is_named(stem, word)]
        if fitting:  # the shortest name: the plainest of several variants
            return models[min(fitting, key=lambda stem: (len(stem), stem))]
    if tag == DEFAULT_TAG:
        return min(models.values(), key=lambda parts: sum(part.size for part in parts))
    known = sorted({quantization_in(f"{stem}.gguf") or PurePosixPath(stem).name for stem in models})
    raise NotFoundError(
        f"the repository has no file for the tag '{tag}'; there are {', '.join(known[:_SHOWN])}"
    )


def _is_named(stem: str, tag: str) -> bool:
    """Whether a tag is a file's whole name, or stands at its end or as its folder."""
    path, word = PurePosixPath(stem.lower()), tag.lower().removesuffix(".gguf")
    at_end = re.search(rf"[-._]{re.escape(word)}$", path.name)
    return word in {path.name, path.parent.name} or at_end is not None


def _projector(ggufs: Iterable[HubFile]) -> tuple[HubFile, ...]:
    """The file that lets the model see or hear."""
    found = {file.path: file for file in ggufs if is_projector(file.path)}
    return (found[preferred_projector(found)],) if found else ()


def _checkpoint(files: Sequence[HubFile]) -> tuple[HubFile, ...]:
    """Weights in the first form that there is, with all that converting them may need."""
    for form in _WEIGHTS:
        weights = [file for file in files if form.fullmatch(file.path)]
        if weights:
            return (*weights, *(file for file in files if _BESIDE.fullmatch(file.path)))
    return ()

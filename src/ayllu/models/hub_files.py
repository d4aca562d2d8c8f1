"""Which files of a Hugging Face repository make up the model that a tag names. Pure.

Tags are those of the Hub's own registry: a quantization in any case, or a file's name
(https://huggingface.co/docs/hub/ollama). Beyond it: files in parts, and weights not yet converted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from msgspec import Struct

from ayllu.errors import BadRequestError, NotFoundError
from ayllu.gguf.tables import QUANTIZATIONS
from ayllu.models.name import DEFAULT_TAG

PREFERRED = ("Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "Q4_0", "IQ4_XS", "Q5_K_M", "Q6_K", "Q8_0", "F16")
"""What `latest` stands for: the first of these that is there, as with the Hub's registry."""

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})", re.IGNORECASE)
_PROJECTOR = re.compile(r"(^|[-._])mmproj([-._]|$)", re.IGNORECASE)
_NO_MODEL = re.compile(r"(^|[-._])(imatrix|mmproj)([-._]|$)", re.IGNORECASE)
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


def select(files: Sequence[HubFile], tag: str) -> Selection:
    """The files that a tag names: GGUFs where there are any, else weights to convert.

    Raises NotFoundError with the tags that there are, BadRequestError where no model is.
    """
    groups = _groups(files)
    if groups:
        chosen = _group(groups, tag)
        return Selection((*chosen, *_projector(files)))
    weights = _checkpoint(files)
    if not weights:
        raise BadRequestError("the repository holds no weights that can be used (GGUF, safetensors)")
    kind = "" if tag == DEFAULT_TAG else tag.upper()
    if kind and kind not in QUANTIZATIONS:
        raise NotFoundError(
            f"the repository has no GGUF files and no tag '{tag}': take 'latest', or a type to "
            f"quantize to, such as Q4_K_M"
        )
    return Selection(weights, kind)


def _groups(files: Iterable[HubFile]) -> dict[str, tuple[HubFile, ...]]:
    """GGUFs by the names that they have without their part numbers, each with all its parts."""
    parts: dict[str, dict[int, HubFile]] = {}
    counts: dict[str, int] = {}
    for file in files:
        path = PurePosixPath(file.path)
        if path.suffix.lower() != ".gguf" or _NO_MODEL.search(path.stem):
            continue
        match = _PART.fullmatch(path.stem)
        stem = str(path.with_name(match["stem"] if match else path.stem))
        counts[stem] = int(match["count"]) if match else 1
        parts.setdefault(stem, {})[int(match["number"]) if match else 1] = file
    return {
        stem: tuple(found[number] for number in sorted(found))
        for stem, found in parts.items()
        if sorted(found) == list(range(1, counts[stem] + 1))
    }


def _group(groups: dict[str, tuple[HubFile, ...]], tag: str) -> tuple[HubFile, ...]:
    wanted = PREFERRED if tag == DEFAULT_TAG else (tag,)
    for word in wanted:
        found = [stem for stem in groups if _names(word, stem)]
        if found:  # the shortest name: the plainest variant of several
            return groups[min(found, key=lambda stem: (len(stem), stem))]
    if tag == DEFAULT_TAG:
        return min(groups.values(), key=lambda parts: (sum(part.size for part in parts), parts))
    known = ", ".join(sorted({_label(stem) for stem in groups})[:_SHOWN])
    raise NotFoundError(f"the repository has no file for the tag '{tag}'; there are {known}")


def _names(tag: str, stem: str) -> bool:
    """Whether a tag is a file's whole name, or stands at its end or as its folder."""
    path, word = PurePosixPath(stem.lower()), tag.lower().removesuffix(".gguf")
    if word in {path.name, path.parent.name}:
        return True
    return re.search(rf"[-._]{re.escape(word)}$", path.name) is not None


def _label(stem: str) -> str:
    """The tag to show for a file: the quantization in its name, else the whole name."""
    name = PurePosixPath(stem).name
    kinds = "|".join(sorted(map(re.escape, QUANTIZATIONS), key=len, reverse=True))
    match = re.search(rf"[-._]((UD-)?({kinds})(_X?L)?)$", name, re.IGNORECASE)
    return match[1] if match else name


def _projector(files: Iterable[HubFile]) -> tuple[HubFile, ...]:
    """The file that lets the model see or hear, F16 before others."""
    found = [
        file
        for file in files
        if file.path.lower().endswith(".gguf") and _PROJECTOR.search(PurePosixPath(file.path).stem)
    ]
    found.sort(key=lambda file: (not _names("F16", file.path[:-5]), file.path))
    return tuple(found[:1])


def _checkpoint(files: Sequence[HubFile]) -> tuple[HubFile, ...]:
    """Weights in the first form that there is, with all that converting them may need."""
    for form in _WEIGHTS:
        weights = [file for file in files if form.fullmatch(file.path)]
        if weights:
            return (*weights, *(file for file in files if _BESIDE.fullmatch(file.path)))
    return ()

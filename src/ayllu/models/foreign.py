"""What of a request's files is no GGUF yet: checked, and laid out as the folder that it was.

Everything that can be seen without the converter is looked at here, so that the converter meets
whole files only, in a folder of links that holds nothing else. Names and files are untrusted.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct

from ayllu.errors import BadRequestError
from ayllu.gguf import arch
from ayllu.gguf.convert import known_architectures
from ayllu.gguf.lora import BASES, base_config
from ayllu.gguf.read import Header
from ayllu.gguf.safetensors import check_safetensors
from ayllu.models.store import Store
from ayllu.system import temporary_prefix
from ayllu.types import Json

LARGEST_CONFIG = 16 << 20
COMPANIONS = (".json", ".jinja", ".model", ".txt", ".tiktoken")
"""Endings of files that belong to a model beside its weights. Others, programs too, stay out."""

_SAFETENSORS = ".safetensors"
_TORCH = (".bin", ".pth", ".pt")
WEIGHTS = (_SAFETENSORS, *_TORCH)
_ZIP, _GGUF = b"PK\x03\x04", b"GGUF"
_TOKENIZER = re.compile(r"token|vocab|tekken|\.model$|\.tiktoken$")
_LAYERS = ("n_layers", "num_hidden_layers", "n_layer", "num_layers", "depth")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_ADAPTER, _ADAPTER_CONFIG = "adapter_model", "adapter_config.json"


class Foreign(Struct, frozen=True):
    """Files to convert: where each name of the folder leads, and what is written there beside them.

    `ggufs` are the digests of those files among them that are GGUFs already.
    """

    links: dict[str, Path] = {}
    texts: dict[str, bytes] = {}
    ggufs: dict[str, str] = {}

    @property
    def weight_bytes(self) -> int:
        """The size of what is going to be converted."""
        weights = (path for name, path in self.links.items() if name.endswith(WEIGHTS))
        return sum(path.stat().st_size for path in weights)


def foreign_model(store: Store, files: Mapping[str, str]) -> Foreign | None:
    """The files of a model in Hugging Face's form; None where all are GGUFs.

    Raises BadRequestError for what is not whole or cannot be read safely.
    """
    plan = _sorted_out(store, files)
    if plan is None:
        return None
    if "config.json" not in plan.links and "params.json" in plan.links:
        raise BadRequestError(
            "the files are in Mistral's own format (params.json): take the same model's "
            "config.json and model*.safetensors"
        )
    _check_config(_read_config(plan, "config.json"))
    if not any(_TOKENIZER.search(name) for name in plan.links):
        raise BadRequestError("the files lack a tokenizer: tokenizer.json or tokenizer.model")
    named = set().union(*(_check_index(plan, index) for index in _INDEXES))
    links = {
        name if name in named else _linked_name(name, plan.links): path
        for name, path in plan.links.items()
    }
    return Foreign(links, {}, plan.ggufs)


def foreign_adapter(store: Store, files: Mapping[str, str]) -> Foreign | None:
    """The files of a LoRA adapter as PEFT saves it; None where it is a GGUF.

    Raises BadRequestError for what is not whole, and for kinds that no GGUF can hold.
    """
    plan = _sorted_out(store, files)
    if plan is None:
        return None
    weights = [name for name in plan.links if name.endswith(WEIGHTS)]
    if len(weights) > 1 or plan.ggufs:
        raise BadRequestError("only one adapter is currently supported")
    config = _read_config(plan, _ADAPTER_CONFIG)
    if not config:
        raise BadRequestError(f"the adapter lacks its {_ADAPTER_CONFIG}")
    ending = _SAFETENSORS if weights[0].endswith(_SAFETENSORS) else ".bin"
    links = {_ADAPTER + ending: plan.links[weights[0]]}
    return Foreign(links, {_ADAPTER_CONFIG: msgspec.json.encode(_plain_lora(config))})


def adapter_groups(store: Store, files: Mapping[str, str]) -> list[dict[str, str]]:
    """The files of each adapter, in their order, where some are to be converted; else all at once.

    What lies in the folder of an adapter's weights, or below it, is that adapter's.
    """
    weights = [name for name, digest in files.items() if _is_foreign(store, name, digest)]
    tops = {PurePosixPath(name).parent for name in weights}
    groups: dict[PurePosixPath, dict[str, str]] = {}
    for name, digest in files.items():
        owner = next((folder for folder in PurePosixPath(name).parents if folder in tops), None)
        if name.endswith(".gguf") or _begins_with(_path(store, name, digest), _GGUF):
            owner = PurePosixPath(name)
        if owner is not None:
            groups.setdefault(owner, {})[name] = digest
    return list(groups.values()) if weights else [dict(files)]


def foreign_base(model: Header) -> Foreign:
    """What stands for the folder of the model that an adapter is for. Raises BadRequestError."""
    config = base_config(model)
    if config is None:
        raise BadRequestError(
            f"adapters for this architecture can only be imported together with the model's own "
            f"folder (FROM); by a GGUF alone those for {', '.join(BASES)} can"
        )
    return Foreign(texts={"config.json": msgspec.json.encode(config)})


@contextmanager
def laid_out(foreign: Foreign, name: str) -> Iterator[Path]:
    """The folder, called `name`, for the time of a block: links to blobs, and small files."""
    with tempfile.TemporaryDirectory(prefix=temporary_prefix()) as temporary:
        folder = Path(temporary, name)
        folder.mkdir()
        for link, path in foreign.links.items():
            _link(folder / link, path, link)
        for file, data in foreign.texts.items():
            (folder / file).write_bytes(data)
        yield folder


def _link(place: Path, path: Path, name: str) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path.absolute())
    except OSError as error:  # too long, or the name of a folder too
        raise BadRequestError(f"{name[:80]} cannot be laid out: {error.strerror}") from error


def _sorted_out(store: Store, files: Mapping[str, str]) -> Foreign | None:
    """Weights, companions and GGUFs told apart and looked at; None without foreign weights."""
    if not any(_is_foreign(store, name, digest) for name, digest in files.items()):
        return None
    links: dict[str, Path] = {}
    ggufs: dict[str, str] = {}
    for name, digest in files.items():
        path = _path(store, name, digest)
        if name.endswith((_SAFETENSORS, *COMPANIONS)) or _is_foreign(store, name, digest):
            _check_weights(path, name)
            links[name] = path
        elif name.endswith(".gguf") or _begins_with(path, _GGUF):
            ggufs[name] = digest
    return Foreign(_without_common_folder(links), {}, ggufs)


def _is_foreign(store: Store, name: str, digest: str) -> bool:
    """Whether a file holds weights in another form than GGUF; PyTorch shares an ending with it."""
    if not name.endswith(_TORCH):
        return name.endswith(_SAFETENSORS)
    return not _begins_with(_path(store, name, digest), _GGUF)


def _path(store: Store, name: str, digest: str) -> Path:
    if not store.has_blob(digest):
        raise BadRequestError(f"the file {name} is not here: send {digest} first")
    return store.blob_path(digest)


def _check_weights(path: Path, name: str) -> None:
    if name.endswith(_SAFETENSORS):
        check_safetensors(path, name)
    elif name.endswith(_TORCH) and not _begins_with(path, _ZIP):
        raise BadRequestError(
            f"{name} is no file of PyTorch's that can be read safely: save the model again as "
            "safetensors"
        )


def _begins_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _without_common_folder(links: Mapping[str, Path]) -> dict[str, Path]:
    """The names from where the configs lie, which is the folder of the model."""
    parents = [PurePosixPath(name).parent for name in links if name.endswith("config.json")]
    top = min(parents, key=lambda parent: len(parent.parts), default=PurePosixPath())
    return {
        PurePosixPath(name).relative_to(top).as_posix(): path
        for name, path in links.items()
        if PurePosixPath(name).is_relative_to(top)
    }


def _linked_name(name: str, others: Mapping[str, Path]) -> str:
    """What the converter looks for: weights whose names begin in one of two ways."""
    for endings, start in (((_SAFETENSORS,), "model"), (_TORCH, "pytorch_model")):
        usual = any(other.startswith(start) and other.endswith(endings) for other in others)
        if name.endswith(endings) and "/" not in name and not usual:
            return f"{start}-{PurePosixPath(name).stem}{endings[0]}"
    return name


def _read_config(plan: Foreign, name: str) -> dict[str, Json]:
    """A JSON object of the folder; empty where there is no such file."""
    path = plan.links.get(name)
    if path is None:
        return {}
    if path.stat().st_size > LARGEST_CONFIG:
        raise BadRequestError(f"{name} is larger than {LARGEST_CONFIG} bytes")
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Json])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"{name} is not a JSON object: {error}") from error


def _check_config(config: Mapping[str, Json]) -> None:
    """The architecture is known, and the layers are not beyond all bounds: each gets names."""
    if not config:
        raise BadRequestError("the files lack the model's config.json")
    configs = [config, *(value for value in config.values() if isinstance(value, dict))]
    for part in configs:
        for key in _LAYERS:
            count = part.get(key)
            if isinstance(count, int) and not 0 <= count <= arch.MAX_LAYERS:
                raise BadRequestError(f"config.json claims {count} layers")
    listed = (part.get("architectures") for part in configs)
    names = [str(name)[:80] for names in listed if isinstance(names, list) for name in names]
    if not names and "ssm_cfg" not in config:
        raise BadRequestError("config.json names no architecture (architectures)")
    if names and known_architectures().isdisjoint(names):
        raise BadRequestError(f"the architecture {names[0]} cannot be imported: it is not known")


def _check_index(plan: Foreign, name: str) -> set[str]:
    """The parts that an index names, which are all there, in the folder itself."""
    parts = _read_config(plan, name).get("weight_map", {})
    if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
        raise BadRequestError(f"{name} has no map of weights")
    named = {str(part) for part in parts.values()}
    for part in sorted(named):
        if part not in plan.links or "/" in part:
            raise BadRequestError(f"the files lack {part[:200]}, which {name} names")
    return named


def _plain_lora(config: Mapping[str, Json]) -> dict[str, Json]:
    """An adapter's config, in which one alpha says how strong it is. Raises BadRequestError.

    An engine multiplies by alpha / rank: PEFT's other ways come down to that, or are refused.
    """
    kind, alpha, rank = (config.get(key) for key in ("peft_type", "lora_alpha", "r"))
    if kind != "LORA":
        raise BadRequestError(f"the adapter is of PEFT's type {kind}: only LORA can be imported")
    for key, what in (("use_dora", "a DoRA"), ("fan_in_fan_out", "for transposed weights")):
        if config.get(key):
            raise BadRequestError(f"the adapter is {what} ({key}), which the engine cannot apply")
    if config.get("alpha_pattern"):
        raise BadRequestError(
            "the adapter has several alphas (alpha_pattern): the engine knows one"
        )
    numbers = [isinstance(n, int | float) and not isinstance(n, bool) for n in (alpha, rank)]
    if not all(numbers):
        raise BadRequestError(f"{_ADAPTER_CONFIG} lacks lora_alpha or r")
    if float(str(rank)) <= 0:
        raise BadRequestError(f"in {_ADAPTER_CONFIG}, r is not a positive number")
    if config.get("use_rslora"):  # alpha / sqrt(rank)
        if config.get("rank_pattern"):
            raise BadRequestError("the adapter has several ranks and use_rslora: the engine cannot")
        alpha = float(str(alpha)) * math.sqrt(float(str(rank)))
    return {"peft_type": "LORA", "lora_alpha": alpha, "r": rank}

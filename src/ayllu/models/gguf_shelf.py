"""A folder of GGUF files, LM Studio's among them, whose models run where they lie.

Nothing in the folder is written, and no file is read but for its header, once. What a header said
is kept in a file of our own, so that the next start reads none.

A file that nobody has hashed has no digest. Its layer's is derived of the path, size and time of
change, and the manifest says so in the annotation `dev.ayllu.unhashed`; the store hashes the file
when it takes it in.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from ayllu import __version__
from ayllu.errors import AylluError, GGUFError
from ayllu.gguf import arch
from ayllu.gguf.read import Header, read_header
from ayllu.gguf.shards import shards_of
from ayllu.gguf.split import ordered
from ayllu.models.files import draft
from ayllu.models.found_format import find_format
from ayllu.models.gguf_names import FoundModel, models_among
from ayllu.models.manifest import (
    CONFIG_TYPE,
    MODEL_TYPE,
    PARAMS_TYPE,
    PROJECTOR_TYPE,
    TEMPLATE_TYPE,
    digest_of,
    encode_config,
    encode_manifest,
    parse_manifest,
)
from ayllu.models.shelf import TITLE, folded
from ayllu.models.stored import Damaged, StoredManifest
from ayllu.models.weights import config_of
from ayllu.types import Layer, ModelConfig, ModelName

UNHASHED = "dev.ayllu.unhashed"
"""The annotation of a layer whose digest is not that of its bytes."""

DEEPEST = 8
"""Folders within folders that are looked at."""

MOST_FILES = 50_000
"""Files that are looked at: a whole disk is not what anybody means."""

PATIENCE = 1.0
"""Seconds after a look at the folder in which a name that it did not have is not looked for."""

WRITE_SECONDS = 2.0

Stamps = tuple[tuple[int, int], ...]
"""Sizes and times of change in nanoseconds, of a model's files."""


class _Facts(Struct, frozen=True, omit_defaults=True):
    """What the headers of a model's files said, or why it cannot be used."""

    stamps: Stamps
    problem: str = ""
    config: ModelConfig = ModelConfig()
    template: str = ""
    params: bytes = b""


class _Index(Struct):
    """What is kept of a folder between two starts."""

    version: str = __version__
    facts: dict[str, _Facts] = {}


class _Made(Struct, frozen=True):
    """A model's manifest, as it is for its files' stamps."""

    stamps: Stamps
    stored: StoredManifest
    data: bytes


class GgufShelf:
    """The models in a folder. Where it cannot be read, there are none, and `problems` says why."""

    def __init__(self, folder: Path, index: Path) -> None:
        self.folder: Path | None = folder
        self._folder = folder
        self._index_file = index
        self._index: _Index | None = None
        self._paths: list[str] = []
        self._models: Mapping[str, FoundModel] = {}
        self._places: Mapping[str, tuple[str, ...]] = {}
        self._made: dict[str, _Made] = {}
        self._files: dict[str, Path] = {}
        self._texts: dict[str, bytes] = {}
        self._lock = threading.RLock()
        self._seen: set[str] = set()
        self._looked = self._wrote = float("-inf")
        self._is_dirty = False
        self.problems: tuple[str, ...] = ()

    def names(self) -> Collection[ModelName]:
        """The models that are there now."""
        self._look()
        return tuple(found.name for found in self._models.values())

    def find(self, name: ModelName) -> ModelName | None:
        """The name as the folder spells it."""
        found = self._models.get(folded(name))
        if found is None and time.monotonic() - self._looked > PATIENCE:
            self._look()
            found = self._models.get(folded(name))
        return found.name if found else None

    def read(self, name: ModelName) -> StoredManifest | Damaged | None:
        """The manifest of a model, made of its headers; None when its file is gone."""
        found = self._models.get(folded(name))
        stamps = self._stamps(found) if found else None
        if found is None or stamps is None:
            return None
        made = self._made.get(found.path)
        if made and made.stamps == stamps and made.stored.name == found.name:
            return made.stored
        with self._lock:
            facts = self._facts(found, stamps)
            if facts.problem:
                return Damaged(found.name, facts.problem)
            made = self._make(found, facts)
        return made.stored

    def manifest_bytes(self, name: ModelName) -> bytes:
        """The manifest as its bytes. Raises FileNotFoundError when the model is gone."""
        found = self._models.get(folded(name))
        if found is None or not isinstance(self.read(name), StoredManifest):
            raise FileNotFoundError(2, "the file is gone", str(self._folder))
        return self._made[found.path].data

    def blob(self, digest: str) -> Path | None:
        """Where a file lies, whose manifest has been read."""
        path = self._files.get(digest)
        with suppress(OSError):
            return path if path and path.is_file() else None
        return None

    def text(self, digest: str) -> bytes | None:
        """The config, template or parameters of a model whose manifest has been read."""
        return self._texts.get(digest)

    def is_hashed(self, digest: str) -> bool:
        """Whether it is none of the digests of this folder's files."""
        return digest not in self._files

    def _look(self) -> None:
        with self._lock:
            problems: list[str] = []
            paths = _ggufs(self._folder, problems)
            if paths != self._paths:
                found = models_among(paths)
                self._models = {folded(model.name): model for model in found}
                self._places = {model.path: self._files_of(model) for model in found}
                self._paths = paths
                self._seen &= self._places.keys()
            self.problems = tuple(problems)
            self._looked = time.monotonic()
            if self._is_dirty:
                self._write_index()

    def _stamps(self, found: FoundModel) -> Stamps | None:
        """None where the first file is gone; a file beside it that is gone has the size -1."""
        stamps = tuple(map(_stamp, self._places.get(found.path, ())))
        return stamps if stamps and stamps[0][0] >= 0 else None

    def _files_of(self, found: FoundModel) -> tuple[str, ...]:
        parts = shards_of(self._folder / found.path)
        return tuple(map(str, (*parts, *(self._folder / path for path in found.projectors))))

    def _facts(self, found: FoundModel, stamps: Stamps) -> _Facts:
        index = self._index = self._index or self._read_index()
        facts = index.facts.get(found.path)
        if facts is None or facts.stamps != stamps:
            facts = index.facts[found.path] = _describe(self._folder, found, stamps)
            self._is_dirty = True
        self._seen.add(found.path)
        is_all = len(self._seen) >= len(self._models)
        if self._is_dirty and (is_all or time.monotonic() - self._wrote > WRITE_SECONDS):
            self._write_index()
        return facts

    def _make(self, found: FoundModel, facts: _Facts) -> _Made:
        projectors = len(found.projectors)
        stamps = (
            facts.stamps[: len(facts.stamps) - projectors],
            *((stamp,) for stamp in facts.stamps[len(facts.stamps) - projectors :]),
        )
        layers: list[Layer] = []
        annotations = {}
        for path, parts in zip((found.path, *found.projectors), stamps, strict=True):
            place = self._folder / path
            digest = digest_of(msgspec.json.encode(["ayllu", UNHASHED, ascii(place), parts]))
            kind = PROJECTOR_TYPE if layers else MODEL_TYPE
            layers.append(Layer(kind, digest, sum(size for size, _ in parts)))
            annotations[digest] = {TITLE: path, UNHASHED: "true"}
            self._files[digest] = place
        if facts.template:
            layers.append(self._keep(TEMPLATE_TYPE, facts.template.encode()))
        if facts.params:
            layers.append(self._keep(PARAMS_TYPE, facts.params))
        config = self._keep(CONFIG_TYPE, encode_config(facts.config))
        data = _annotated(encode_manifest(config, tuple(layers)), annotations)
        stored = StoredManifest(
            found.name,
            parse_manifest(data),
            digest_of(data).removeprefix("sha256:"),
            max(changed for _, changed in facts.stamps),
            sum(layer.size for layer in (config, *layers)),
        )
        made = self._made[found.path] = _Made(facts.stamps, stored, data)
        return made

    def _keep(self, media_type: str, data: bytes) -> Layer:
        digest = digest_of(data)
        self._texts[digest] = data
        return Layer(media_type, digest, len(data))

    def _read_index(self) -> _Index:
        """What an earlier start of this version kept."""
        with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
            index = msgspec.json.decode(self._index_file.read_bytes(), type=_Index)
            if index.version == __version__:
                return index
        return _Index()

    def _write_index(self) -> None:
        """Keep it, less what is gone; a disk that takes it not costs time at the next start."""
        assert self._index is not None  # noqa: S101 - it is dirty
        if self._models:
            there = {found.path for found in self._models.values()}
            self._index.facts = {k: v for k, v in self._index.facts.items() if k in there}
        with suppress(OSError), draft(self._index_file.parent) as new:
            new.write(msgspec.json.encode(self._index))
            new.publish(self._index_file)
        self._wrote = time.monotonic()
        self._is_dirty = False


def index_name(folder: Path) -> str:
    """What the index of a folder is called."""
    return f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.json"


def _ggufs(folder: Path, problems: list[str]) -> list[str]:
    """The GGUF files below a folder, relative to it and with `/`."""
    try:
        root = Path(os.path.realpath(folder, strict=True))
        return list(_below(folder, root, "", problems, [MOST_FILES]))
    except OSError as error:
        problems.append(f"{folder} cannot be read: {error.strerror}")
        return []


def _below(
    folder: Path, root: Path, start: str, problems: list[str], left: list[int]
) -> Iterator[str]:
    with os.scandir(folder / start) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = start + entry.name
            if entry.name.startswith(".") or path in {"blobs", "manifests"}:
                continue
            if not entry.name.isprintable():  # nor UTF-8, which are lone surrogates here
                problems.append(f"{folder / start} has a file with a strange name: {path!a}")
                continue
            left[0] -= 1
            if left[0] == 0:
                problems.append(f"{folder} has more than {MOST_FILES} files: only those are seen")
            if left[0] <= 0:
                return
            try:
                if entry.is_dir(follow_symlinks=False):
                    if path.count("/") < DEEPEST:
                        yield from _below(folder, root, f"{path}/", problems, left)
                elif entry.name.lower().endswith(".gguf") and _is_usable(entry, root, problems):
                    yield path
            except OSError as error:
                problems.append(f"{folder / path} cannot be read: {error.strerror}")


def _is_usable(entry: os.DirEntry[str], root: Path, problems: list[str]) -> bool:
    """Whether it is a file, or a link to one that does not lead out of the folder."""
    if entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(root):
        problems.append(
            f"{entry.path} leads out of {root}: add the folder that it leads to instead"
        )
        return False
    return entry.is_file()


def _stamp(path: str) -> tuple[int, int]:
    try:
        facts = os.stat(path)  # noqa: PTH116 - a thousand Paths take longer than the disk
    except OSError:
        return (-1, 0)
    return (facts.st_size, facts.st_mtime_ns)


def _describe(folder: Path, found: FoundModel, stamps: Stamps) -> _Facts:
    try:
        return _facts_of(folder, found, stamps)
    except AylluError as error:
        return _Facts(stamps, problem=error.sentence)


def _facts_of(folder: Path, found: FoundModel, stamps: Stamps) -> _Facts:
    """What create would make of the files. Raises GGUFError."""
    paths = shards_of(folder / found.path)
    parts = [_header(*part) for part in zip(paths, stamps[: len(paths)], strict=True)]
    first = parts[0]
    arch.check(first)
    name = Path(found.path).name
    if (kind := arch.kind(first)) != "model":
        raise GGUFError(f"{name} is no model but what is added to one (its kind is {kind})")
    if len(parts) > 1:
        ordered({path.name: header for path, header in zip(paths, parts, strict=True)})
    elif arch.split_count(first) > 1:
        raise GGUFError(f"{name} is a part of a model, and its name does not say so")
    for path in found.projectors:
        if arch.kind(read_header(folder / path)) != "projector":
            raise GGUFError(f"{Path(path).name} is no projector, and its name says that it is one")
    config = config_of(first, projector=bool(found.projectors))
    count = arch.human_count(sum(map(arch.parameter_count, parts)))
    format_ = find_format(structs.replace(config, model_type=count), first)
    return _Facts(
        stamps,
        config=format_.config,
        template=format_.template.text if format_.template else "",
        params=msgspec.json.encode(format_.params) if format_.params else b"",
    )


def _header(path: Path, stamp: tuple[int, int]) -> Header:
    if stamp[0] < 0:
        raise GGUFError(f"{path.name} is missing")
    return read_header(path)


def _annotated(manifest: bytes, annotations: Mapping[str, Mapping[str, str]]) -> bytes:
    value = msgspec.json.decode(manifest)
    for layer in value["layers"]:
        if layer["digest"] in annotations:
            layer["annotations"] = annotations[layer["digest"]]
    encoded: bytes = msgspec.json.encode(value)
    return encoded

"""Models and adapters in Hugging Face's form become GGUFs in the store, by llama.cpp's converters.

The files are blobs of the store already; the GGUFs appear as blobs that no model has yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from pathlib import Path

from ayllu.errors import BadRequestError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.convert import convert_adapter, convert_model, converters_folder
from ayllu.gguf.read import Header
from ayllu.gguf.tool import Step
from ayllu.models.files import draft, using
from ayllu.models.foreign import (
    Foreign,
    adapter_groups,
    foreign_adapter,
    foreign_base,
    foreign_model,
    laid_out,
)
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.models.weights import any_header, published
from ayllu.torch_python import find_torch_python

STATUSES = {
    "files": "converting model",
    "draft_files": "converting draft model",
    "adapters": "converting adapter",
}
"""The kinds of files of a request, and what is said while they are converted."""

Group = tuple[str, int]
"""A kind, and which of that kind."""

_MODEL: Group = ("files", 0)


class Import:
    """What a request's files need to become GGUFs, and once it has run, what came of it.

    Files of one kind are a group; of adapters, each that is to be converted is one. `made` are the
    digests of blobs that were not there before, and that no model may come to have.
    """

    def __init__(self, store: Store, name: str, torch_python: str, source: str) -> None:
        self.made: list[str] = []
        self._store = store
        self._name = name
        self._torch_python = torch_python
        self._source = source
        self._groups: dict[Group, dict[str, str]] = {}
        self._found: dict[Group, Foreign] = {}
        self._fp8: dict[str, str] = {}

    def add(self, kind: str, files: dict[str, str], *, fp8: str) -> None:
        """Look at files of a kind; `fp8` is what becomes of weights in FP8: `bf16` or `q8_0`.

        Raises BadRequestError for what is not whole or could not be converted.
        """
        self._fp8[kind] = fp8
        if kind == "adapters":
            for number, part in enumerate(adapter_groups(self._store, files)):
                self._add((kind, number), part, foreign_adapter(self._store, part))
            return
        found = foreign_model(self._store, files)
        if found and kind == "files" and self._source:
            raise BadRequestError("'from' names the model already: its files are too many")
        if not found and len(files) > 1 and kind == "draft_files":
            raise BadRequestError("only one DRAFT model is supported")
        self._add((kind, 0), files, found)

    def _add(self, group: Group, files: dict[str, str], found: Foreign | None) -> None:
        self._groups[group] = files
        if found:
            self._found[group] = found

    def files(self) -> dict[str, dict[str, str]]:
        """The files of each kind, from names to digests, as GGUFs once it has run."""
        kinds: dict[str, dict[str, str]] = {kind: {} for kind in STATUSES}
        for (kind, _), files in self._groups.items():
            kinds[kind] |= files
        return kinds

    async def run(self) -> AsyncGenerator[tuple[str, Step]]:
        """Convert what is no GGUF; yields what is done and how far it is, in bytes.

        Raises UnsupportedError first where there is no PyTorch or no converter; BadRequestError
        with what the converter has against the files. Closing it ends the converter.
        """
        if not self._found:
            return
        python = find_torch_python(self._torch_python)
        converters_folder()
        with ExitStack() as stack:
            folders = {
                group: stack.enter_context(laid_out(found, self._name))
                for group, found in self._found.items()
            }
            if any(kind == "adapters" for kind, _ in folders) and _MODEL not in folders:
                base = foreign_base(await asyncio.to_thread(self._base))
                folders[_MODEL] = stack.enter_context(laid_out(base, self._name))
            for group in self._found:
                async with aclosing(self._convert(group, python, folders)) as steps:
                    async for step in steps:
                        yield STATUSES[group[0]], step

    async def _convert(
        self, group: Group, python: Path, folders: dict[Group, Path]
    ) -> AsyncGenerator[Step]:
        """Convert one group, whose files then are those of GGUFs."""
        kind, number = group
        folder, blobs = folders[group], self._store.blobs
        yield Step(0, self._found[group].weight_bytes)
        with using(self._store.root), draft(blobs) as main, draft(blobs) as projector:
            if kind == "adapters":
                steps = convert_adapter(python, folder, main.path, base=folders[_MODEL])
            else:
                senses = projector.path if kind == "files" else None
                fp8 = self._fp8[kind]
                steps = convert_model(python, folder, main.path, projector=senses, fp8=fp8)
            async with aclosing(steps):
                async for step in steps:
                    yield step
            self._groups[group] = dict(self._found[group].ggufs)
            word = "adapter" if kind == "adapters" else "model"
            again = f" {number + 1}" if number else ""
            for name, new in ((word, main), ("projector", projector)):
                if new.path.stat().st_size:
                    layer = await published(self._store, new, MODEL_TYPE)
                    self.made.append(layer.digest)
                    self._groups[group][f"the converted {name}{again}"] = layer.digest

    def _base(self) -> Header:
        """The header of the model that an adapter is for: one of the store, or a GGUF beside it."""
        if self._source:
            layers = self._store.manifest(parse_name(self._source)).manifest.layers
            paths = [self._store.blob_path(x.digest) for x in layers if x.media_type == MODEL_TYPE]
            headers = list(map(cached_header, paths))
        else:
            headers = [any_header(self._store, *file) for file in self._groups[_MODEL].items()]
        models = [header for header in headers if arch.kind(header) == "model"]
        if not models:
            raise BadRequestError("there is no model that the adapter could be for")
        return models[0]

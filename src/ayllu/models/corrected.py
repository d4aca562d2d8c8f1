"""Models as the engine takes them: odd GGUFs are replaced by corrected copies, made once.

What has to be done is gguf/compat.py's to say. Making a copy takes as long as copying the file; it
goes on when the request that wanted it is given up, and ends with the server.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import aclosing
from pathlib import Path

import structlog
from msgspec import structs

from ayllu.errors import GGUFError
from ayllu.gguf import arch
from ayllu.gguf.cache import Stamp, cached_header, stamp
from ayllu.gguf.compat import Correction, correction
from ayllu.gguf.read import read_header
from ayllu.gguf.sheet import Sheet
from ayllu.gguf.write import write_gguf
from ayllu.models.copies import LOCK
from ayllu.models.files import draft, locked, using
from ayllu.models.model import Model

_log = structlog.get_logger(__name__)

_KNOWN = 64
_PATIENCE = 0.2
_known: OrderedDict[Path, tuple[Stamp, Correction | None]] = OrderedDict()


def find_correction(path: Path) -> Correction | None:
    """What has to be done to a file; None where the engine takes it. Read once per file.

    Raises GGUFError.
    """
    now = stamp(path)
    known = _known.get(path)
    if known is None or known[0] != now:
        known = now, correction(path, cached_header(path))
        _known[path] = known
        while len(_known) > _KNOWN:
            _known.popitem(last=False)
    return known[1]


def has_projector(model: Model) -> bool:
    """Whether the engine gets a projector with the model, be it from within the model's own file.

    Raises GGUFError.
    """
    if model.projectors:
        return True
    found = find_correction(model.path)
    return found is not None and found.projector is not None


class Corrector:
    """Makes copies where they are missing. Whoever made it calls `close`."""

    def __init__(self) -> None:
        self._tasks: dict[Path, asyncio.Task[None]] = {}

    async def correct(self, model: Model) -> Model:
        """The model with the files that the engine takes.

        Raises StoreError when there is no room for a copy, GGUFError for a damaged file.
        """
        files = (model.path, *model.projectors)
        if any(path not in _known for path in files):
            await asyncio.to_thread(lambda: [find_correction(path) for path in files])
        found = {path: find_correction(path) for path in files}
        if not any(found.values()):
            return model
        paths = {path: await self._copies(model, path, found[path]) for path in files}
        own = found[model.path]
        first, *towers = paths[model.path]
        others = tuple(paths[path][0] for path in model.projectors)
        return structs.replace(
            model,
            path=first,
            projectors=others or tuple(towers),
            overrides=own.overrides if own else {},
        )

    async def close(self) -> None:
        """Give up what is being made."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _copies(self, model: Model, path: Path, found: Correction | None) -> tuple[Path, ...]:
        """The files in the place of one: itself, or its copy and perhaps a projector."""
        if found is None or found.model is None:
            return (path,)
        stem = model.stems[path]
        copies = {stem.with_name(f"{stem.name}.model.gguf"): found.model}
        if found.projector:
            copies[stem.with_name(f"{stem.name}.projector.gguf")] = found.projector
        if not all(map(Path.is_file, copies)):
            task = self._tasks.get(stem)
            if task is None:
                task = asyncio.create_task(_make(copies))
                self._tasks[stem] = task
                task.add_done_callback(lambda done: self._forget(stem, done))
            await asyncio.shield(task)
        return tuple(copies)

    def _forget(self, stem: Path, task: asyncio.Task[None]) -> None:
        """A task is done; where nobody waits for it any more, the log says why it failed."""
        del self._tasks[stem]
        if not task.cancelled() and (error := task.exception()):
            _log.warning("an odd GGUF was not corrected", reason=str(error))


async def _make(copies: dict[Path, Sheet]) -> None:
    """Write what is missing of some copies, while no other process does."""
    (folder,) = {path.parent for path in copies}
    with using(folder.parent):
        while not all(map(Path.is_file, copies)):
            with locked(folder / LOCK, exclusive=True) as ours:
                if ours:
                    for path, sheet in copies.items():
                        if not path.is_file():
                            await _write(path, sheet)
                    return
            await asyncio.sleep(_PATIENCE)


async def _write(path: Path, sheet: Sheet) -> None:
    """Write a copy, which appears whole or not at all."""
    source = sheet.path.name
    _log.info("an odd GGUF is being copied in a form that the engine takes", source=source)
    with draft(path.parent) as new:
        steps = write_gguf(new.path, sheet.keys, sheet.tensors.values(), alignment=sheet.alignment)
        async with aclosing(steps):
            async for _ in steps:
                pass
        try:
            arch.check(await asyncio.to_thread(read_header, new.path))
        except GGUFError as error:
            reason = error.sentence.replace(new.path.name, "it")
            raise GGUFError(f"{source} cannot be corrected for the engine: {reason}") from error
        await asyncio.to_thread(new.publish, path)

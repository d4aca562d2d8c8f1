"""The files of a model, brought to the server: shared with it where both use one disk, else sent.

The command makes the blob itself where it may write to the models folder, and asks the server
whether it sees it; so no route takes a path of the server's machine.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ayllu.cli.client import Client, is_this_machine
from ayllu.cli.files import file_keys, file_size, read_pieces
from ayllu.cli.print import note
from ayllu.cli.progress import Progress
from ayllu.cli.wire import ProgressLine
from ayllu.config import Settings
from ayllu.models.files import draft, make_folder, sync_folder

SHOWN_DIGITS = 12

Stamp = tuple[int, int]


class Blobs:
    """Where the files go. `link` asks for hard links where blocks cannot be shared."""

    def __init__(
        self, client: Client, settings: Settings, progress: Progress, *, link: bool = False
    ) -> None:
        self._client = client
        self._progress = progress
        self._link = link
        here = is_this_machine(settings.host)
        self._folder = settings.models / "blobs" if here else None

    async def send_all(self, files: Sequence[Path]) -> dict[str, str]:
        """Bring the files to the server; returns their digests by the names they get there."""
        keys = file_keys(files)
        return {key: await self._send(file) for key, file in zip(keys, files, strict=True)}

    async def _send(self, file: Path) -> str:
        """The digest of a file that the server has, or has now."""
        if digest := await self._clone(file):
            return digest
        before = _stamp(file)
        digest = await self._digest(file, file.name)
        if not await self._is_there(digest) and not await self._linked(file, digest, before):
            start = digest[: len("sha256:") + SHOWN_DIGITS]
            pieces = self._moved(file, f"copying file {start}")
            await self._client.upload(f"/api/blobs/{digest}", pieces, file_size(file))
        return digest

    async def _clone(self, file: Path) -> str | None:
        """The digest, where the blob now shares the file's blocks (reflink), copied on write.

        None where that is not to be had, which leaves nothing.
        """
        if self._folder is None:
            return None
        with _tidied(self._folder), suppress(OSError), draft(self._folder) as new:
            with file.open("rb") as source:
                if not new.clone(source):
                    return None
            digest = await self._digest(new.path, file.name)
            blob = self._blob(digest)
            if await self._is_there(digest):
                return digest
            if not blob.exists():
                await asyncio.to_thread(new.publish, blob)
                if await self._is_there(digest):
                    return digest
                blob.unlink()
        return None

    async def _linked(self, file: Path, digest: str, before: Stamp) -> bool:
        """Whether the file itself is now the server's blob, where that was asked for."""
        if not self._link:
            return False
        why = "the server's models lie elsewhere"
        if self._folder is not None:
            with _tidied(self._folder):
                try:
                    self._make_link(file, digest, before)
                    if await self._is_there(digest):
                        return True
                    self._blob(digest).unlink()
                except OSError as error:
                    why = error.strerror or str(error)
        note(f"{file} could not be linked ({why}): it is copied")
        return False

    def _make_link(self, file: Path, digest: str, before: Stamp) -> None:
        """Give the file a second name. Raises OSError where that cannot be or would not do."""
        assert self._folder is not None  # noqa: S101 - its caller asked
        facts = file.stat()
        if _stamp(file) != before:
            raise OSError(errno.EBUSY, "it has just changed")
        make_folder(self._folder)
        if not facts.st_mode & stat.S_IROTH and facts.st_uid != self._folder.stat().st_uid:
            raise OSError(errno.EACCES, "the server's user could not read it")
        os.link(file.resolve(), self._blob(digest))
        sync_folder(self._folder)

    def _blob(self, digest: str) -> Path:
        assert self._folder is not None  # noqa: S101 - its callers asked
        return self._folder / digest.replace(":", "-")

    async def _is_there(self, digest: str) -> bool:
        return await self._client.head(f"/api/blobs/{digest}") == 200

    async def _digest(self, file: Path, name: str) -> str:
        hashed = hashlib.sha256()
        async for piece in self._moved(file, f"hashing {name}"):
            await asyncio.to_thread(hashed.update, piece)
        return f"sha256:{hashed.hexdigest()}"

    async def _moved(self, file: Path, label: str) -> AsyncIterator[bytes]:
        """The file's pieces, read beside the event loop, with a bar of how many went by."""
        done = 0
        pieces, total = read_pieces(file), file_size(file)
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece
            done += len(piece)
            self._progress.bar(ProgressLine(label, f"{label} {file}", total, done))


def _stamp(file: Path) -> Stamp:
    """What changes with a file. Raises BadRequestError when it is gone."""
    size = file_size(file)
    return size, file.stat().st_mtime_ns


@contextmanager
def _tidied(folder: Path) -> Iterator[None]:
    """Leave no new folders where nothing came of it."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield
    finally:
        for place in missing:
            with suppress(OSError):  # there is something in it now
                place.rmdir()

"""The Hugging Face Hub's file API, for models that its registry does not serve.

Those are GGUFs in parts and weights that are not converted yet. All files are of one revision.
Source: https://huggingface.co/docs/hub/api.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
from aiohttp import ClientResponse
from msgspec import Struct
from yarl import URL

from ayllu.errors import ForbiddenError, RegistryError
from ayllu.models.manifest import parse_digest
from ayllu.registry.client import Registries, Source
from ayllu.registry.hub_files import HubFile
from ayllu.registry.origin import Origin
from ayllu.types import ModelName

MAX_FILES = 10_000

T = TypeVar("T")


class _Lfs(Struct):
    oid: str
    size: int


class _Entry(Struct):
    """A file or folder; `lfs.oid` is the sha256 of a large file."""

    type: str
    path: str
    size: int = 0
    lfs: _Lfs | None = None


class _Info(Struct):
    sha: str


class Hub(Origin):
    """One repository. The token goes to the Hub alone, never to where its files are stored."""

    def __init__(self, registries: Registries, name: ModelName) -> None:
        super().__init__(registries.web, registries.hub, registries.hub_authorization)
        self._repository = f"{name.namespace}/{name.model}"

    async def revision(self) -> str:
        """The newest revision, a commit's hash. Raises ForbiddenError for a private repository."""
        url = self.root / "api" / "models" / self._repository
        async with self.follow("GET", url) as response:
            return (await self._json(response, _Info)).sha

    async def files(self, revision: str) -> tuple[HubFile, ...]:
        """All files of a revision. Raises RegistryError where they are no list, or far too long."""
        found: list[HubFile] = []
        async for entry in self._entries(revision):
            if entry.type == "file":
                found.append(_file(entry))
            if len(found) > MAX_FILES:
                raise RegistryError(f"{self._repository} has more than {MAX_FILES} files")
        return tuple(found)

    def source(self, revision: str, path: str) -> Source:
        """Where a file is."""
        url = self.root / self._repository / "resolve" / revision
        return Source(self, url.joinpath(*path.split("/")))

    async def login(self, response: ClientResponse, refused: str) -> str:
        """Raises ForbiddenError: the Hub says 401 for what is private and for what is not there."""
        del response
        place = f"{self.root.authority} has no repository {self._repository}"
        if refused:
            raise ForbiddenError(
                f"{place} that your HF_TOKEN may read: check the name, and whether its terms have "
                "to be accepted there first"
            )
        raise ForbiddenError(f"{place}, or it is private: check the name, or set HF_TOKEN")

    async def _entries(self, revision: str) -> AsyncIterator[_Entry]:
        tree = self.root / "api" / "models" / self._repository / "tree" / revision
        url: URL | None = tree.with_query(recursive="true")
        while url is not None:
            async with self.follow("GET", url) as response:
                for entry in await self._json(response, list[_Entry]):
                    yield entry
                following = response.links.get("next")
            url = URL(str(following["url"])) if following else None

    async def _json(self, response: ClientResponse, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(await self.web.read(response), type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RegistryError(
                f"{response.url.authority} sent what is not understood: {error}"
            ) from error


def _file(entry: _Entry) -> HubFile:
    """Raises BadRequestError for a digest that is none."""
    if entry.lfs is None:
        return HubFile(entry.path, entry.size)
    return HubFile(entry.path, entry.lfs.size, parse_digest(f"sha256:{entry.lfs.oid}"))

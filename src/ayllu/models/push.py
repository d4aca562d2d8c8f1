"""Sending a model to a registry. For now it says that this cannot be done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from ayllu.errors import UnsupportedError
from ayllu.models.create import Progress
from ayllu.models.store import Store
from ayllu.types import ModelName


async def push(store: Store, name: ModelName) -> AsyncGenerator[Progress]:
    """Upload a model; yields what is being done in Ollama's words.

    Raises NotFoundError before the first status where there is no such model.
    """
    await asyncio.to_thread(store.manifest, name)
    yield Progress("retrieving manifest")
    raise UnsupportedError("this version of Ayllu cannot upload models yet")

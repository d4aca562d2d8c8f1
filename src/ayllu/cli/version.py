"""`ayllu --version`."""

from __future__ import annotations

import asyncio

from ayllu import __version__
from ayllu.cli.client import Client
from ayllu.cli.print import note
from ayllu.config import load_settings
from ayllu.errors import AylluError

ANSWER_SECONDS = 2.0


def print_version() -> None:
    """Print the server's version, or this command's where no server answers."""
    server = asyncio.run(_server_version())
    if server is None:
        note("Warning: could not connect to a running Ayllu instance")
    elif server != __version__:
        note(f"Warning: client version is {__version__}")
    print(f"ayllu version is {server or __version__}")


async def _server_version() -> str | None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS), Client(load_settings()) as client:
            return await client.version()
    except (AylluError, TimeoutError):
        return None

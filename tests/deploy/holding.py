"""A coordinator that holds a worker on another machine until it is ended: `holding.py HOME NODE PORT`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from deploy.heads import request
from tunnels import head

from ayllu.cluster.identity import opened
from ayllu.cluster.keyring import Keyring
from ayllu.config import load_settings
from ayllu.deploy.remote import take
from ayllu.runner.engine import find_engine


async def main(home: Path, node: str, port: int) -> None:
    """Take it, say so, and keep it."""
    with opened(home) as identity:
        async with head(Keyring(identity).member(), node, port) as ways:
            wanted = request(deployment="held")
            await take(ways, find_engine(load_settings({})), node, "far", wanted, lambda _: None)
            print("held", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))

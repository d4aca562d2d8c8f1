"""A coordinator that holds another machine's worker: `holding.py HOME NODE PORT HOST`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from deploy.heads import request
from tunnels import head

from ayllu.cluster.identity import opened
from ayllu.cluster.keyring import Keyring
from ayllu.config import load_settings
from ayllu.deploy.remote import take
from ayllu.runner.engine import find_engine


async def main(home: Path, node: str, port: int, host: str) -> None:
    """Take it, say so, and keep it."""
    with opened(home) as identity:
        async with head(Keyring(identity).member(), node, port, host) as ways:
            wanted = request(deployment=str(os.getpid()))
            await take(ways, find_engine(load_settings({})), node, "far", wanted, lambda _: None)
            sys.stdout.write("held\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]))

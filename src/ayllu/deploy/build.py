"""What has to be the same on all machines that work on one model: the engine, and its protocol."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from pathlib import Path

from ayllu.runner.engine import Engine, rpc_protocol


async def protocol_of(engine: Engine) -> tuple[int, int, int] | None:
    """The RPC protocol that an engine speaks, asked once; None where it speaks none."""
    return await asyncio.to_thread(_protocol, engine.rpc_server)


@lru_cache(maxsize=4)
def _protocol(program: Path) -> tuple[int, int, int] | None:
    return rpc_protocol(program)

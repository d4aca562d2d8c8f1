"""A real server that works for others, and members of its ayllu in this process that ask it to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psutil
import uvloop
from ayllu_servers import free_ports
from ayllus import Ayllu
from serving import Serving, serving, wait_until
from tunnels import Head, head

from ayllu.cluster.credentials import Credentials
from ayllu.config import load_settings
from ayllu.deploy.remote import Remote, take
from ayllu.deploy.worker_request import WorkerRequest
from ayllu.runner.engine import find_engine

NAME = "far"
DIGEST = "sha256:" + "0" * 64
_numbers = itertools.count(1)


def request(**fields: Any) -> WorkerRequest:
    """What a coordinator asks for; each is a deployment of its own unless it says which."""
    given: dict[str, Any] = {
        "deployment": f"d{next(_numbers)}",
        "fence": 1,
        "model": "mini",
        "digest": DIGEST,
        "size": 1,
        "first": 3,
        "layers": 3,
        "room": 64 << 20,
    }
    return WorkerRequest(**(given | fields))


class Far:
    """A machine that works for others: a real server, the admin of its ayllu.

    `members` are the credentials of other machines of that ayllu, `homes` their folders.
    """

    def __init__(
        self, server: Serving, node: str, port: int, members: list[Credentials], root: Path
    ) -> None:
        self.server = server
        self.node = node
        self.port = port
        self.members = members
        self.root = root
        self.engine = find_engine(load_settings({}))

    def workers(self) -> list[psutil.Process]:
        """The RPC workers that it runs."""
        return self.server.workers()

    @asynccontextmanager
    async def head(self, number: int = 0) -> AsyncIterator[Head]:
        """One of the members, with its ways to this machine."""
        async with head(self.members[number], self.node, self.port) as found:
            yield found

    async def take(self, ways: Head, **fields: Any) -> Remote:
        """A worker of this machine."""
        wanted = request(**fields)
        return await take(ways, self.engine, self.node, NAME, wanted, lambda _: None)


@contextmanager
def far_machine(root: Path, members: int = 2, **settings: str) -> Iterator[Far]:
    """A machine that works for others, up and listening."""
    ayllu, port = Ayllu(root), free_ports()
    with ExitStack() as stack:
        ayllu.member(NAME)
        others = [ayllu.member(f"member{number}") for number in range(members)]
        node = ayllu.keyrings[NAME].member().node
        ayllu.unlock()
        server = stack.enter_context(
            serving(
                root / NAME,
                nullcontext,
                AYLLU_CLUSTER_INTERFACES="lo",
                AYLLU_CLUSTER_PORT=str(port),
                AYLLU_NODE_NAME=NAME,
                **settings,
            )
        )
        wait_until(lambda: listens(server, port + 4), what="listening")
        yield Far(server, node, port, others, root)


def listens(server: Serving, port: int) -> bool:
    found = psutil.Process(server.process.pid).net_connections("tcp")
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)


def run(work: Callable[[], Coroutine[Any, Any, None]], seconds: float = 60.0) -> None:
    """Run a scene on the server's event loop."""

    async def timed() -> None:
        async with asyncio.timeout(seconds):
            await work()

    uvloop.run(timed())

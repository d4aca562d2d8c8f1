"""How fast models come from other machines, and how often from the Internet.

Real stores, downloads and Zenoh with mutual TLS, each machine a process of its own, on loopback:
a model from two machines that have it, and three machines that pull the same new one at once.

make bench SCRIPTS=bench/swarm.py
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ayllus import homes, until
from model_maker import put
from registries import docker_registry

from ayllu.cluster.bus import LIVE
from ayllu.cluster.bus_config import BusConfig, free_port
from ayllu.cluster.identity import opened
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.sharing import Members, Sharing
from ayllu.cluster.zenoh_bus import open_bus
from ayllu.config import load_settings
from ayllu.models.manifest import MODEL_TYPE, digest_of
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.registry.client import Registries, Source
from ayllu.registry.downloads import Downloads
from ayllu.types import Layer

SIZE = 200_000_000
HOST = ("127.0.0.1",)


async def machine(home: Path, ports: list[int], mine: int, peers: int, shares: bool) -> None:
    """One machine: it takes orders on stdin, a layer each, and says on stdout what came of it."""
    settings = load_settings({"AYLLU_HOME": str(home), "AYLLU_REGISTRIES": "127.0.0.1"})
    registries = Registries(settings)
    store = Store(settings.models)
    downloads = Downloads(store, registries.bandwidth)
    with opened(home) as identity:
        credentials = Keyring(identity).member()
        buses = [
            await open_bus(
                BusConfig(
                    credentials=credentials,
                    listen=HOST,
                    port=ports[2 * mine + at],
                    peers=tuple(f"127.0.0.1:{port}" for port in ports[at::2] if port),
                ),
                print,
            )
            for at in (0, 1)
        ]
        members = Members(lambda _: True, str, lambda node, why: print(node, why, file=sys.stderr))
        sharing = Sharing(credentials.node, store, registries.bandwidth, members)
        sharing.attach(*buses)
        if shares:
            downloads.neighbours = sharing
        buses[0].announce(LIVE.format(node=credentials.node))
        await until(lambda: len(sharing.members) >= peers)
        await until(lambda: all(len(bus.links()) >= peers for bus in buses))
        print("ready", flush=True)
        while order := await asyncio.to_thread(sys.stdin.readline):
            name, digest = order.split()
            place = registries.open(parse_name(name), "http")
            layer = Layer(MODEL_TYPE, digest, SIZE)
            began, cpu = time.time(), time.process_time()
            fetching = downloads.fetch(Source(place, place.blob(digest)), layer)
            *_, amount = [amount async for amount in fetching]
            used = time.process_time() - cpu
            line = [began, time.time(), amount.from_peers, amount.from_registry, amount.peers, used]
            print(json.dumps(line), flush=True)
        await downloads.close()
        await registries.close()
        for bus in buses:
            await bus.close()


class Process:
    """A machine in a process of its own."""

    def __init__(
        self, home: Path, ports: list[int], number: int, peers: int, *, shares: bool = True
    ) -> None:
        facts = json.dumps([ports, number, peers, shares])
        words = [sys.executable, __file__, str(home), facts]
        pipes = subprocess.PIPE
        self.process = subprocess.Popen(words, stdin=pipes, stdout=pipes, text=True)

    def hear(self) -> str:
        """Its next line."""
        return self.process.stdout.readline() if self.process.stdout else ""

    def fetch(self, name: str, digest: str) -> None:
        """Have it fetch a layer."""
        if self.process.stdin:
            self.process.stdin.write(f"{name} {digest}\n")
            self.process.stdin.flush()

    def end(self) -> None:
        """Have it leave."""
        self.process.communicate(timeout=20)


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder, docker_registry(Path(folder) / "reg") as registry:
        places, _ = homes(Path(folder) / "homes", 3)
        ports = [free_port(HOST, 0) for _ in range(6)]
        known, new, alone = (os.urandom(SIZE) for _ in range(3))
        for place in places[:2]:
            put(Store(place / "models"), f"{registry.host}/me/x", b"{}", known)
        registry.put_blob("me/x", new)
        registry.put_blob("me/x", alone)
        name = f"{registry.host}/me/x"
        machines = [Process(place, ports, n, 2) for n, place in enumerate(places)]
        for one in machines:
            one.hear()
        third = machines[2]
        third.fetch(name, digest_of(known))
        began, ended, peers, origin, count, used = json.loads(third.hear())
        speed = SIZE / (ended - began) / 1e6
        print(
            f"200 MB from {count} machines: {speed:.0f} MB/s, {used:.2f} s of CPU here, "
            f"{origin} bytes from the registry ({peers} from peers)"
        )
        written = len(registry.requests)
        for one in machines:
            one.fetch(name, digest_of(new))
        lines = [json.loads(one.hear()) for one in machines]
        sent = sum(int(line["http.response.written"]) for line in registry.requests[written:])
        took = max(line[1] for line in lines) - min(line[0] for line in lines)
        print(f"three pull the same new 200 MB: {took:.2f} s, {100 * sent / SIZE:.1f} % of it sent")
        for one in machines:
            one.end()
        for shares in (False, True, False, True):
            lone = Process(places[0], ports[:2] + [0] * 4, 0, 0, shares=shares)
            lone.hear()
            lone.fetch(name, digest_of(alone))
            began, ended, *_ = json.loads(lone.hear())
            speed = SIZE / (ended - began) / 1e6
            print(f"alone, {'in an' if shares else 'without an'} ayllu: {speed:.0f} MB/s")
            lone.end()
            (places[0] / "models/blobs" / digest_of(alone).replace(":", "-")).unlink()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(machine(Path(sys.argv[1]), *json.loads(sys.argv[2])))
    else:
        main()

"""A small program: members of an ayllu that do nothing but know each other.

    python member.py ADDRESS PORT SCOUT PEERS HOME...

listens on an address (`-`: on all real interfaces) with the buses of the homes given, one port each
from PORT on. SCOUT is the UDP port of multicast, 0 for none; PEERS are `host:port` texts between
commas. What happens is written to stdout, a JSON object a line, with seconds since 1970.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from msgspec import structs
from own_records import OwnedRecord, a_record

from ayllu.cluster.bus_config import BusConfig
from ayllu.cluster.identity import opened
from ayllu.cluster.interfaces import hosts, interfaces
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.membership import Membership
from ayllu.cluster.record import Endpoints
from ayllu.cluster.remembered import FILE, Remembered
from ayllu.cluster.table import Change
from ayllu.cluster.zenoh_bus import open_bus


def say(**what: object) -> None:
    print(json.dumps({"at": time.time(), **what}), flush=True)  # noqa: T201 - what it is for


async def take_part(config: BusConfig, keyring: Keyring, stack: AsyncExitStack) -> None:
    identity = keyring.identity
    name = identity.folder.parent.name
    own = OwnedRecord(a_record(identity.node, name=name, epoch=identity.epoch))
    membership = Membership(keyring, own, Remembered(identity.folder / FILE))

    def tell(change: Change) -> None:
        say(me=name, event=change.kind, node=change.node, there=len(membership.members()))

    membership.subscribe(tell)
    remembered = [place for met in membership.remembered.latest(16) for place in met.bus]
    config = structs.replace(config, peers=(*config.peers, *remembered))
    stack.push_async_callback(membership.close)
    bus = await open_bus(config, lambda address: say(me=name, event="stranger", address=address))
    stack.push_async_callback(bus.close)
    own.change(endpoints=Endpoints(bus=bus.endpoints))
    membership.attach(bus)
    say(me=name, event="open", node=identity.node, endpoints=bus.endpoints)


async def main(address: str, port: str, scout: str, peers: str, homes: list[str]) -> None:
    listen = hosts(interfaces()) if address == "-" else (address,)
    async with AsyncExitStack() as stack:
        keyrings = [Keyring(stack.enter_context(opened(Path(home)))) for home in homes]
        parts = []
        for number, keyring in enumerate(keyrings):
            config = BusConfig(
                credentials=keyring.member(),
                listen=listen,
                port=int(port) + number,
                scout=int(scout),
                peers=tuple(filter(None, peers.split(","))),
            )
            parts.append(take_part(config, keyring, stack))
        await asyncio.gather(*parts)
        await asyncio.Event().wait()


if __name__ == "__main__":
    where, first, multicast, known, *folders = sys.argv[1:]
    # A test run in the background inherits that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        asyncio.run(main(where, first, multicast, known, folders))

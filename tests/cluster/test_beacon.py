from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

from ayllus import until
from msgspec.structs import replace

from ayllu.cluster.beacon import Beacon
from ayllu.cluster.hints import MAGIC, VERSION, Message
from ayllu.cluster.interfaces import Interface, interfaces

FIRST, SECOND = "a" * 20, "b" * 20


def a_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def saying(node: str, name: str = "one") -> Message:
    return Message(MAGIC, VERSION, node, name, "", "0.1", 17449, 17446, 17447, time.time())


def sayer(names: dict[str, str], node: str) -> Callable[[], Message]:
    return lambda: saying(node, names[node])


def loopback() -> tuple[Interface, ...]:
    return interfaces(("lo", "lo0"))


def test_machines_of_one_link_hear_each_other_and_what_changes() -> None:
    async def scene() -> None:
        port = a_port()
        names = {FIRST: "one", SECOND: "two"}
        beacons = [Beacon(node, sayer(names, node), loopback()) for node in names]
        told: list[int] = []
        beacons[0].subscribe(lambda: told.append(1))
        await beacons[0].open(port)
        await beacons[1].open(port)
        await until(lambda: all(len(beacon.heard()) == 1 for beacon in beacons))
        (hint,) = beacons[0].heard()
        assert (hint.message.name, hint.addresses[0]) == ("two", "127.0.0.1")
        assert told
        names[SECOND] = "three"
        await until(lambda: beacons[0].heard()[0].message.name == "three")
        for beacon in beacons:
            await beacon.close()

    asyncio.run(scene())


def test_rubbish_and_other_networks_are_not_heard() -> None:
    async def scene() -> None:
        port = a_port()
        far = tuple(replace(one, networks=("192.0.2.1/24",)) for one in loopback())
        near = Beacon(FIRST, lambda: saying(FIRST), loopback())
        deaf = Beacon(SECOND, lambda: saying(SECOND), far)
        await deaf.open(port)
        await near.open(port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for size in (0, 1, 100, 5000):
                sender.sendto(b"\xff" * size, ("127.0.0.1", port))
        await until(lambda: near.hints.quiet.total["a beacon was dropped"] == 4)
        assert near.heard() == deaf.heard() == ()
        await near.close()
        await deaf.close()

    asyncio.run(scene())

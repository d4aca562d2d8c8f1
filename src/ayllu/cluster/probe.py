"""Trying every other machine that is known or heard, for the report of `diagnose.py`.

It only connects and says hello at join doors, as anybody may.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct, structs

from ayllu.cluster.diagnose import Port, There, Tried
from ayllu.cluster.door_client import hello
from ayllu.cluster.door_messages import shown
from ayllu.cluster.endpoints import split_endpoint
from ayllu.cluster.hints import Hint
from ayllu.cluster.remembered import Met
from ayllu.cluster.view import Member
from ayllu.errors import AylluError

CONNECT_SECONDS = 2.0
MOST_AT_ONCE = 32
Ports = dict[str, tuple[str, ...]]
"""What ports are for, with their addresses."""
BUS, PEER, DOOR = "the bus", "the API", "the join door"


class Others(Struct, frozen=True, kw_only=True):
    """All that this machine knows of others: members, those met before, those heard, addresses.

    `named` are the owner's addresses: for each, where its bus and its door would be.
    """

    members: tuple[Member, ...] = ()
    met: tuple[Met, ...] = ()
    heard: tuple[Hint, ...] = ()
    named: Mapping[str, tuple[str, str]] = {}
    is_revoked: Callable[[str], bool]


async def look_around(known: Others) -> tuple[There, ...]:
    """Every other machine with what became of trying it, by name. It takes some seconds."""
    turn = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(machine: There, ports: Ports) -> There:
        async with turn:
            return await _try(machine, ports)

    pairs = (*_machines(known), *_named(known))
    tried = await asyncio.gather(*(one(*pair) for pair in pairs))
    machines = tried[: len(tried) - len(known.named)]
    nodes = {machine.node for machine in machines}
    places = {port.address for machine in machines for port in machine.tried}
    # An address of the owner's may be that of a machine which is known otherwise, too.
    named = (
        machine
        for machine in tried[len(machines) :]
        if machine.node not in nodes and not places & {port.address for port in machine.tried}
    )
    return tuple(sorted((*machines, *named), key=lambda other: (not other.meets, other.name)))


def _machines(known: Others) -> Iterator[tuple[There, Ports]]:
    """Each machine once, with the addresses of its ports, the surest first."""
    members = {member.record.node: member for member in known.members}
    met = {one.node: one for one in known.met}
    heard = {hint.message.node: hint for hint in known.heard}
    for node in dict.fromkeys((*members, *met, *heard)):
        member, before, hint = members.get(node), met.get(node), heard.get(node)
        ports: Ports = {BUS: (), PEER: (), DOOR: ()}
        name = node
        if hint is not None:
            name = shown(hint.message.name)
            ports[BUS] += hint.places(hint.message.bus)
            ports[DOOR] += hint.places(hint.message.join)
        if before is not None:
            name = before.name
            ports = _joined(ports, before.bus, before.peer, before.join)
        if member is not None:
            name, endpoints = member.record.name, member.record.endpoints
            ports = _joined(ports, endpoints.bus, endpoints.peer, endpoints.join)
        yield (
            There(
                name=name,
                node=node,
                meets=member is not None,
                reason=member.reason if member is not None else "",
                revoked=known.is_revoked(node),
                beacon=hint is not None,
            ),
            ports,
        )


def _named(known: Others) -> Iterator[tuple[There, Ports]]:
    for text, (bus, door) in known.named.items():
        yield There(name=text), {BUS: (bus,), DOOR: (door,)}


def _joined(ports: Ports, *more: tuple[str, ...]) -> Ports:
    pairs = zip(ports.items(), more, strict=True)
    return {purpose: tuple(dict.fromkeys(old + new)) for (purpose, old), new in pairs}


async def _try(machine: There, ports: Ports) -> There:
    """Connect to each port, and ask at the door who is there."""
    tries = [_reach(purpose, places) for purpose, places in ports.items() if places]
    tried = tuple(await asyncio.gather(*tries))
    for one in tried:
        if one.purpose == DOOR and one.port == "open":
            try:
                about = await hello(one.address)
            except AylluError:
                break
            return structs.replace(
                machine,
                node=machine.node or about.node,
                tried=tried,
                asked=True,
                version=shown(about.version),
                time=about.time,
                ayllu=about.cluster,
                ends=about.ends,
            )
    return structs.replace(machine, tried=tried)


async def _reach(purpose: str, places: tuple[str, ...]) -> Tried:
    """What became of connecting to a port at any of its addresses: the best of them."""
    results = await asyncio.gather(*map(_connect, places))
    order: tuple[Port, ...] = ("open", "refused", "silent", "unreachable")
    best = min(range(len(places)), key=lambda number: order.index(results[number]))
    return Tried(purpose, places[best], results[best])


async def _connect(place: str) -> Port:
    try:
        host, port = split_endpoint(place)
    except ValueError:
        return "unreachable"
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silent"
    except (OSError, socket.gaierror) as error:
        # Nobody has that address here now, as when a machine is off: the network says so late.
        return "silent" if error.errno == errno.EHOSTUNREACH else "unreachable"
    writer.close()
    return "open"

"""What this machine knows of the ayllu, as the API shows it: pure functions over records.

`Cluster` is what the routes need of the program behind them. Times are RFC 3339 in UTC, memory and
disk in bytes; what was not measured is null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol

from msgspec import Struct

from ayllu.cluster.bus import Close
from ayllu.cluster.endpoints import host_of
from ayllu.cluster.record import Contribution, Gpu, HeldModel, Record
from ayllu.gotime import format_time

_LAST_SECOND = 253_402_300_799  # of the year 9999
State = Literal["here", "online", "returning", "set_aside"]
"""`here` is the machine that answers; one that is `returning` takes up a new certificate."""


class Ayllu(Struct, frozen=True):
    """The ayllu that this machine belongs to."""

    id: str
    name: str


class Sighting(Struct, frozen=True):
    """A machine of the neighbourhood that is no member, known by its beacon.

    `ayllu` is the id of the one that it belongs to, empty where it has none.
    """

    id: str
    name: str
    addresses: tuple[str, ...]
    version: str
    ayllu: str = ""


class Member(Struct, frozen=True):
    """Another machine of the ayllu; `reason` says why it is set aside, or what is wrong with it."""

    record: Record
    state: State = "online"
    reason: str = ""


class Snapshot(Struct, frozen=True):
    """All that is known now. Without an ayllu there are no members.

    `problem` is why this machine cannot take part in its ayllu, empty where it can.
    """

    me: Record
    ayllu: Ayllu | None = None
    members: tuple[Member, ...] = ()
    seen: tuple[Sighting, ...] = ()
    problem: str = ""


class Cluster(Protocol):
    """The program behind the routes."""

    def snapshot(self) -> Snapshot:
        """What is known now."""

    def subscribe(self, on_change: Callable[[], None]) -> Close:
        """Be called on the event loop whenever another snapshot would be."""

    async def measure_again(self) -> None:
        """Measure this machine now. Raises EngineError where that fails."""


class NodeLoad(Struct, frozen=True):
    """Requests that run and that wait, and the busy share of the processors, 0 to 1."""

    running: int
    waiting: int
    cpu: float


class NodeLink(Struct, frozen=True):
    """The way from a machine to another: round trips in ms, MB/s (1e6 bytes)."""

    to: str
    rtt_p50_ms: float
    rtt_p95_ms: float
    mbs: float | None
    wireless: bool
    measured_at: str


class Node(Struct, frozen=True):
    """A machine of the ayllu."""

    id: str
    name: str
    state: State
    reason: str
    admin: bool
    addresses: tuple[str, ...]
    version: str
    engine: str
    since: str
    system: str
    cpu: str
    cores: int
    threads: int
    isa: tuple[str, ...]
    tflops: float | None
    memory_gbs: float | None
    disk_mbs: float | None
    measured_at: str | None
    ram_total: int
    ram_free: int
    disk_free: int
    gpus: tuple[Gpu, ...]
    contribute: Contribution
    load: NodeLoad
    models: tuple[HeldModel, ...]
    links: tuple[NodeLink, ...]


class Totals(Struct, frozen=True):
    """What the machines that can be used have together."""

    nodes: int
    tflops: float
    ram_total: int
    ram_free: int
    vram_total: int
    vram_free: int


class ClusterView(Struct, frozen=True):
    """GET /api/cluster. `node` is the id of the machine that answers, the first of `nodes`."""

    ayllu: Ayllu | None
    problem: str
    node: str
    nodes: tuple[Node, ...]
    seen: tuple[Sighting, ...]
    totals: Totals


class Whole(Struct, frozen=True, tag_field="type", tag="snapshot"):
    """How it is: the first event, and when this machine joins or leaves an ayllu, or cannot."""

    cluster: ClusterView


class Joined(Struct, frozen=True, tag_field="type", tag="joined"):
    """A machine is there that was not."""

    node: Node
    totals: Totals


class Changed(Struct, frozen=True, tag_field="type", tag="changed"):
    """Something of a machine is different."""

    node: Node
    totals: Totals


class SetAside(Struct, frozen=True, tag_field="type", tag="set_aside"):
    """A machine is used no more; `node.reason` says why."""

    node: Node
    totals: Totals


class Left(Struct, frozen=True, tag_field="type", tag="left"):
    """A machine is gone."""

    id: str
    name: str
    totals: Totals


class Seen(Struct, frozen=True, tag_field="type", tag="seen"):
    """The machines of the neighbourhood that are no members are others now."""

    seen: tuple[Sighting, ...]


Event = Whole | Joined | Changed | SetAside | Left | Seen


def view(known: Snapshot) -> ClusterView:
    """A snapshot as the API shows it: this machine first, the others by name."""
    others = sorted(known.members, key=lambda member: (member.record.name, member.record.node))
    nodes = tuple(map(_node, (Member(known.me, "here"), *others)))
    return ClusterView(
        ayllu=known.ayllu,
        problem=known.problem,
        node=known.me.node,
        nodes=nodes,
        seen=known.seen,
        totals=totals(nodes),
    )


def totals(nodes: Iterable[Node]) -> Totals:
    """What the machines have together, those that are set aside left out."""
    used = [node for node in nodes if node.state != "set_aside"]
    gpus = [gpu for node in used for gpu in node.gpus]
    return Totals(
        nodes=len(used),
        tflops=sum(node.tflops or 0.0 for node in used),
        ram_total=sum(node.ram_total for node in used),
        ram_free=sum(node.ram_free for node in used),
        vram_total=sum(gpu.vram_total for gpu in gpus),
        vram_free=sum(gpu.vram_free for gpu in gpus),
    )


def changes(before: ClusterView, after: ClusterView) -> Iterator[Event]:
    """The events that lead from one view to another."""
    if _belongs(before) != _belongs(after):
        yield Whole(after)
        return
    were = {node.id: node for node in before.nodes}
    are = {node.id: node for node in after.nodes}
    for gone in were.keys() - are.keys():
        yield Left(gone, were[gone].name, after.totals)
    for node in after.nodes:
        was = were.get(node.id)
        if was is None:
            yield Joined(node, after.totals)
        elif node.state == "set_aside" and was.state != "set_aside":
            yield SetAside(node, after.totals)
        elif node != was:
            yield Changed(node, after.totals)
    if before.seen != after.seen:
        yield Seen(after.seen)


def _belongs(view: ClusterView) -> tuple[object, ...]:
    return view.ayllu, view.problem, view.node


def _node(member: Member) -> Node:
    record = member.record
    speed, hardware, load = record.speed, record.hardware, record.load
    return Node(
        id=record.node,
        name=record.name,
        state=member.state,
        reason=member.reason,
        admin=record.admin,
        addresses=addresses(record),
        version=record.version,
        engine=record.engine,
        since=_moment(record.started),
        system=hardware.system,
        cpu=hardware.cpu,
        cores=hardware.cores,
        threads=hardware.threads,
        isa=hardware.isa,
        tflops=(speed and speed.tflops) or None,
        memory_gbs=(speed and speed.memory_gbs) or None,
        disk_mbs=(speed and speed.disk_mbs) or None,
        measured_at=_moment(speed.measured_at) if speed else None,
        ram_total=hardware.ram_total,
        ram_free=load.ram_free,
        disk_free=load.disk_free,
        gpus=hardware.gpus,
        contribute=record.contribute,
        load=NodeLoad(load.running, load.waiting, load.cpu),
        models=record.models,
        links=tuple(
            NodeLink(
                to=link.to,
                rtt_p50_ms=link.rtt_p50,
                rtt_p95_ms=link.rtt_p95,
                mbs=link.mbs or None,
                wireless=link.wireless,
                measured_at=_moment(link.measured_at),
            )
            for link in record.links
        ),
    )


def addresses(record: Record) -> tuple[str, ...]:
    """The hosts at which a machine listens, without ports, each once."""
    places = (*record.endpoints.peer, *record.endpoints.bus)
    return tuple(dict.fromkeys(map(host_of, places)))


def _moment(seconds: float) -> str:
    """Seconds since 1970 in RFC 3339; another machine may say what no calendar has."""
    return format_time(int(min(seconds, _LAST_SECOND)) * 1_000_000_000)

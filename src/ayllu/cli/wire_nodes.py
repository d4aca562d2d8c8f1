"""What GET /api/cluster and its events look like, as far as the command line reads them."""

from __future__ import annotations

from msgspec import Struct, structs


class Gpu(Struct, frozen=True):
    """Memory in bytes."""

    vram_total: int = 0
    vram_free: int = 0


class Load(Struct, frozen=True):
    """Requests, and the busy share of the processors, 0 to 1."""

    running: int = 0
    waiting: int = 0
    cpu: float = 0.0


class Contribution(Struct, frozen=True):
    """What the owner gives: bytes for models (0: no limit), and whether others may use it now."""

    ram: int = 0
    vram: int = 0
    enabled: bool = True


class HeldModel(Struct, frozen=True):
    """A model of a machine."""

    name: str
    loaded: bool = False


class Link(Struct, frozen=True):
    """The way to another machine; `mbs` is 1e6 bytes a second."""

    to: str
    rtt_p50_ms: float
    mbs: float | None = None
    wireless: bool = False


class Node(Struct, frozen=True):
    """A machine of the ayllu. `since` is RFC 3339, memory is in bytes."""

    id: str
    name: str
    state: str = "online"
    reason: str = ""
    addresses: tuple[str, ...] = ()
    version: str = ""
    since: str = ""
    tflops: float | None = None
    memory_gbs: float | None = None
    measured_at: str | None = None
    ram_total: int = 0
    ram_free: int = 0
    gpus: tuple[Gpu, ...] = ()
    contribute: Contribution = Contribution()
    load: Load = Load()
    models: tuple[HeldModel, ...] = ()
    links: tuple[Link, ...] = ()


class Sighting(Struct, frozen=True):
    """A machine nearby that is no member; `ayllu` is the id of another one that it is in."""

    id: str
    name: str
    addresses: tuple[str, ...] = ()
    version: str = ""
    ayllu: str = ""


class Totals(Struct, frozen=True):
    """What the machines that can be used have together."""

    nodes: int = 0
    tflops: float = 0.0
    ram_total: int = 0
    vram_total: int = 0


class Ayllu(Struct, frozen=True):
    """What the machine belongs to."""

    id: str
    name: str = ""


class ClusterReply(Struct, frozen=True):
    """GET /api/cluster. `node` is the id of the machine that answers."""

    node: str
    nodes: tuple[Node, ...]
    ayllu: Ayllu | None = None
    problem: str = ""
    seen: tuple[Sighting, ...] = ()
    totals: Totals = Totals()


class ClusterEvent(Struct, frozen=True):
    """An event of GET /api/cluster/events; what it has goes by its type."""

    type: str
    cluster: ClusterReply | None = None
    node: Node | None = None
    id: str = ""
    seen: tuple[Sighting, ...] | None = None
    totals: Totals | None = None


def follow(known: ClusterReply, event: ClusterEvent) -> ClusterReply:
    """What is known after an event; one of a type that is new to us brings what it has."""
    if event.cluster is not None:
        return event.cluster
    nodes = {node.id: node for node in known.nodes}
    if event.node is not None:
        nodes[event.node.id] = event.node
    nodes.pop(event.id if event.type == "left" else "", None)
    return structs.replace(
        known,
        nodes=tuple(nodes.values()),
        seen=known.seen if event.seen is None else event.seen,
        totals=event.totals or known.totals,
    )


class Found(Struct, frozen=True):
    """A line of the doctor's report on the network."""

    topic: str
    fine: bool
    text: str


class DiagnosisReply(Struct, frozen=True):
    """GET /api/cluster/doctor."""

    findings: tuple[Found, ...]

"""What a machine says of itself: one versioned record, which it alone may change.

Numbers are measured on the machine itself. Records travel as msgpack in a sealed envelope
(`seal.py`); a reader drops what it does not know and refuses what is too large.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from ayllu.cluster.messages import read
from ayllu.errors import BadRequestError

LONGEST_RECORD = 1 << 20
MOST_LINKS = 256
MOST_MODELS = 4096
MOST_STAGES = 64
MOST_DEPLOYMENTS = 256
_T = TypeVar("_T")
_Text = Annotated[str, Meta(max_length=256)]
_Count = Annotated[int, Meta(ge=0, le=1 << 62)]
_Number = Annotated[float, Meta(ge=0, le=1e18)]
NodeId = Annotated[str, Meta(pattern=r"\A[a-z2-7]{20}\Z")]
"""base32(sha256(public key))[:20], lower-case: `identity.py`."""


class Gpu(Struct, frozen=True):
    """A GPU that the engine can use. Memory is in bytes."""

    name: _Text
    backend: _Text
    vram_total: _Count
    vram_free: _Count


class Hardware(Struct, frozen=True):
    """What the machine has, as far as Ayllu may use it there. Memory is in bytes.

    `cores` are physical, `threads` how many run at once; `isa` are the instruction sets that matter
    to the engine, in Linux' words.
    """

    cpu: _Text
    cores: _Count
    threads: _Count
    isa: Annotated[tuple[_Text, ...], Meta(max_length=64)]
    ram_total: _Count
    gpus: Annotated[tuple[Gpu, ...], Meta(max_length=64)]
    system: _Text
    """Operating system and architecture, as `Linux x86_64`."""


class Speed(Struct, frozen=True):
    """What was measured, once per hardware: FP32 matrix product, streaming reads, disk reads."""

    tflops: _Number
    memory_gbs: _Number
    """GB/s, 1e9 bytes; 0 where it was not measured."""
    disk_mbs: _Number
    """MB/s, 1e6 bytes; 0 where it was not measured."""
    measured_at: _Number
    """Seconds since 1970."""


class Link(Struct, frozen=True):
    """The way to another machine: round trips of a query in ms, MB/s of a burst (0: not yet)."""

    to: NodeId
    rtt_p50: _Number
    rtt_p95: _Number
    mbs: _Number
    wireless: bool
    measured_at: _Number


class HeldModel(Struct, frozen=True):
    """A model in the machine's store. `digest` is its manifest's, 64 hex digits; size in bytes."""

    name: Annotated[str, Meta(max_length=512)]
    digest: _Text
    size: _Count
    loaded: bool = False


class Load(Struct, frozen=True):
    """How busy it is: free memory in bytes, requests that run and that wait, CPU share 0 to 1.

    `disk_free` is of the disk that holds the models.
    """

    ram_free: _Count
    disk_free: _Count
    running: _Count = 0
    waiting: _Count = 0
    cpu: _Number = 0.0


class Stage(Struct, frozen=True):
    """Layers `first` to `first + layers - 1` of a model on a machine, where they take `size` bytes.

    The first stage of several is the head's, which answers.
    """

    node: NodeId
    first: _Count
    layers: _Count
    size: _Count


class Deployed(Struct, frozen=True, kw_only=True):
    """A model that the machine runs on several, or was told to run.

    `fence` grows with every placement, also where another machine takes over. What its owner said,
    where it is `pinned`, is in `nodes`, `split` (layers of each node), `context`, `slots` and
    `tensor` (a split within layers); empty and 0 leave it open. `predicted` is in tokens per second
    of one stream; there are no `stages` while it does not run.
    """

    id: _Text
    model: Annotated[str, Meta(max_length=512)]
    digest: _Text
    fence: _Count
    stages: Annotated[tuple[Stage, ...], Meta(max_length=MOST_STAGES)] = ()
    predicted: _Number = 0.0
    pinned: bool = False
    nodes: Annotated[tuple[NodeId, ...], Meta(max_length=MOST_STAGES)] = ()
    split: Annotated[tuple[_Count, ...], Meta(max_length=MOST_STAGES)] = ()
    context: _Count = 0
    slots: _Count = 0
    tensor: bool = False


class Contribution(Struct, frozen=True):
    """What its owner gives: bytes that models may take there in all (0: no limit) of RAM and VRAM.

    `enabled` says whether other machines may use it now.
    """

    ram: _Count = 0
    vram: _Count = 0
    enabled: bool = True


class Endpoints(Struct, frozen=True):
    """Where it listens: `host:port` texts, one per address.

    `bus` and `bulk` are Zenoh's, `peer` the HTTP API over mutual TLS, `join` the door for machines
    that have no certificate yet, `tunnel` raw streams over mutual TLS.
    """

    bus: Annotated[tuple[_Text, ...], Meta(max_length=32)] = ()
    bulk: Annotated[tuple[_Text, ...], Meta(max_length=32)] = ()
    peer: Annotated[tuple[_Text, ...], Meta(max_length=32)] = ()
    join: Annotated[tuple[_Text, ...], Meta(max_length=32)] = ()
    tunnel: Annotated[tuple[_Text, ...], Meta(max_length=32)] = ()


class Record(Struct, frozen=True, kw_only=True):
    """All of it. The record with the greater (`epoch`, `counter`) is the newer one.

    `epoch` grows with every start of the machine's server, `counter` with every change. `returns`
    says that the machine goes only for a moment, to come back with a new certificate, `trains` that
    it could fine-tune models, and `training` how many such jobs it has to do.
    """

    node: NodeId
    name: _Text
    epoch: _Count
    counter: _Count
    version: _Text
    engine: _Text
    started: _Number
    endpoints: Endpoints
    hardware: Hardware
    load: Load
    speed: Speed | None = None
    links: Annotated[tuple[Link, ...], Meta(max_length=MOST_LINKS)] = ()
    models: Annotated[tuple[HeldModel, ...], Meta(max_length=MOST_MODELS)] = ()
    deployments: Annotated[tuple[Deployed, ...], Meta(max_length=MOST_DEPLOYMENTS)] = ()
    contribute: Contribution = Contribution()
    admin: bool = False
    returns: bool = False
    trains: bool = False
    training: _Count = 0

    @property
    def order(self) -> tuple[int, int]:
        """What tells the newer of two records of one machine."""
        return self.epoch, self.counter


class Pulse(Struct, frozen=True, array_like=True):
    """How busy a machine is, between two of its records: these are long, and this changes often.

    `epoch` and `counter` are the record's as it would be now, `changed` is the counter of the last
    one that differs in more than its load.
    """

    epoch: _Count
    counter: _Count
    changed: _Count
    load: Load


_records, _pulses = msgspec.msgpack.Decoder(Record), msgspec.msgpack.Decoder(Pulse)


def encode(record: Record | Pulse) -> bytes:
    """A record or a pulse as msgpack."""
    return msgspec.msgpack.encode(record)


def decode(data: bytes) -> Record:
    """A record from another machine. Raises BadRequestError for what is none, or is too large."""
    return _decoded(_records, data)


def decode_pulse(data: bytes) -> Pulse:
    """The same of a pulse."""
    return _decoded(_pulses, data)


def _decoded(decoder: msgspec.msgpack.Decoder[_T], data: bytes) -> _T:
    if len(data) > LONGEST_RECORD:
        raise BadRequestError(f"a record of {len(data)} bytes is too large")
    return read(decoder, data, "this is no record of a machine")

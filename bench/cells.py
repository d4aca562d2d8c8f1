"""How an ayllu grows: a flat mesh, and cells of 64 machines with two gateways each, simulated.

A discrete-event simulation: every machine is one core that handles one message at a time, every
message takes a network's delay. What a message costs is measured first, on this machine, with the
code that handles it; what a link costs is what Zenoh took for the 780 links of 40 peers.

Cells are the plan past 64 machines (docs/cluster.md), and not built: within a cell all are linked
with all, and two machines of each are gateways. Gateways are linked with the gateways of other
cells and tell them a summary of theirs; whoever wants to know of another cell asks his gateway.

`python bench/cells.py [MACHINES...]`
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from ayllu.cluster import record as records
from ayllu.cluster.identity import opened
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.membership import REFRESH_SECONDS, REPEAT_SECONDS
from ayllu.cluster.seal import seal, unseal

CELL = 64
GATEWAYS = 2
SUMMARY_BYTES = 1500
MAX_SESSIONS = 1000
"""Zenoh's limit for the links of one machine."""
LINK_CPU = 2.4 / 780 / 2
"""Seconds of CPU for an end of a link: mutual TLS and the exchange of what is declared."""
DELAYS = (0.0002, 0.001)
START_SECONDS = 1.0
_DIGITS = str.maketrans("0123456789", "abcdefghij")
LARGEST_FLAT = 1000
"""A flat mesh of more has too many messages to be played through, and more links than Zenoh has."""


class Costs(Struct, frozen=True):
    """What a record and a pulse are: bytes, and seconds of CPU to take one in."""

    size: int
    receive: float
    pulse: int
    feel: float


class Outcome(Struct, frozen=True):
    """What became of a mesh. Links are of the machine that has most; traffic and CPU too."""

    links: int
    converged: float
    bytes_per_second: float
    cpu: float


class Machine:
    """One core: what arrives waits until it is free."""

    def __init__(self, start: float) -> None:
        self.free_at = start
        self.links = 0

    def handle(self, now: float, cost: float) -> float:
        """Do some work; returns when it is done."""
        self.free_at = max(self.free_at, now) + cost
        return self.free_at


class Simulation:
    """Events in the order of their time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - to be the same every time
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, moment: float, work: Callable[[], None]) -> None:
        """Do some work at a moment, in seconds."""
        self._count += 1
        heapq.heappush(self._events, (moment, self._count, work))

    def delay(self) -> float:
        """How long a message is on its way."""
        return self.random.uniform(*DELAYS)

    def run(self) -> float:
        """Play everything; returns the time of the last event."""
        while self._events:
            self.now, _, work = heapq.heappop(self._events)
            work()
        return self.now


def mesh(simulation: Simulation, machines: Sequence[Machine], size_cost: float) -> None:
    """Link all with all; each sends the other what it has to say once the link is there."""

    def linked(one: Machine, other: Machine) -> None:
        for machine in (one, other):
            machine.links += 1
            done = machine.handle(simulation.now, LINK_CPU)
            simulation.at(done + simulation.delay(), partial(arrive, machine))

    def arrive(machine: Machine) -> None:
        simulation.at(machine.handle(simulation.now, size_cost), lambda: None)

    for index, one in enumerate(machines):
        for other in machines[index + 1 :]:
            begins = max(one.free_at, other.free_at) + simulation.delay()
            simulation.at(begins, partial(linked, one, other))


def flat(count: int, costs: Costs) -> Outcome:
    """All linked with all."""
    simulation = Simulation(count)
    machines = [Machine(simulation.random.uniform(0, START_SECONDS)) for _ in range(count)]
    mesh(simulation, machines, costs.receive)
    converged = simulation.run()
    return Outcome(count - 1, converged, *_steady(count - 1, 0, costs))


def cells(count: int, costs: Costs) -> Outcome:
    """Cells of at most CELL machines, gateways linked with those of other cells."""
    sizes = _cell_sizes(count)
    gateways: list[Machine] = []
    within = 0.0
    for number, size in enumerate(sizes):
        simulation = Simulation(number)
        cell = [Machine(simulation.random.uniform(0, START_SECONDS)) for _ in range(size)]
        mesh(simulation, cell, costs.receive)
        within = max(within, simulation.run())
        gateways += cell[:GATEWAYS]
    if len(sizes) == 1:
        return Outcome(count - 1, within, *_steady(count - 1, 0, costs))
    between = Simulation(count)
    receive = costs.receive * SUMMARY_BYTES / costs.size
    mesh(between, gateways, receive)
    converged = between.run()
    most = max(machine.links for machine in gateways)
    others = GATEWAYS * (len(sizes) - 1)
    return Outcome(most, converged, *_steady(max(sizes) - 1, others, costs))


def _cell_sizes(count: int) -> list[int]:
    """As few cells as can be, of about the same size."""
    wanted = -(-count // CELL)
    return [count // wanted + (number < count % wanted) for number in range(wanted)]


def _steady(peers: int, gateways: int, costs: Costs) -> tuple[float, float]:
    """Bytes per second into the busiest machine, and the share of a core that they cost it."""
    records_in, pulses_in = peers / REPEAT_SECONDS, peers / REFRESH_SECONDS
    summaries_in = gateways / REFRESH_SECONDS
    traffic = records_in * costs.size + pulses_in * costs.pulse + summaries_in * SUMMARY_BYTES
    cpu = records_in * costs.receive + (pulses_in + summaries_in) * costs.feel
    return traffic, cpu


def measure() -> Costs:
    """What a sealed record of a machine with 20 models and 63 links costs its receiver."""
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as identity:
        credentials = Keyring(identity).create()
        record = _record(identity.node)
        pulse = records.Pulse(12, 3456, 3400, record.load)
        sealed = seal(credentials, "record", records.encode(record))
        beat = seal(credentials, "pulse", records.encode(pulse))
        return Costs(
            len(sealed),
            _seconds(lambda: records.decode(unseal(credentials, "record", sealed).body)),
            len(beat),
            _seconds(lambda: records.decode_pulse(unseal(credentials, "pulse", beat).body)),
        )


def _seconds(work: Callable[[], object], rounds: int = 200) -> float:
    """What it costs to do something once."""
    started = time.process_time()
    for _ in range(rounds):
        work()
    return (time.process_time() - started) / rounds


def _record(node: str) -> records.Record:
    """What a machine in a full cell says of itself."""
    gpu = records.Gpu("NVIDIA GeForce RTX 4070", "CUDA", 12 << 30, 11 << 30)
    address = ("192.168.100.200:17446", "[fe80::1234:5678:9abc:def0%enp3s0]:17446")
    links = [
        records.Link(
            f"{'a' * 17}{n:03}".translate(_DIGITS),
            0.4,
            0.9,
            112.5,
            wireless=False,
            measured_at=1.8e9,
        )
        for n in range(CELL - 1)
    ]
    models = [records.HeldModel(f"family{n}:8b-q4_K_M", "0" * 64, 5 << 30) for n in range(20)]
    return records.Record(
        node=node,
        name="a-desktop-with-a-name",
        epoch=12,
        counter=3456,
        version="0.1.0",
        engine="0.5.0-dev",
        started=1.8e9,
        endpoints=records.Endpoints(address, address, address, address),
        hardware=records.Hardware(
            "AMD Ryzen 7 5700X 8-Core Processor",
            8,
            16,
            ("avx2", "f16c", "fma"),
            64 << 30,
            (gpu,),
            "Linux x86_64",
        ),
        load=records.Load(48 << 30, 900 << 30, 2, 0, 0.4),
        speed=records.Speed(1.1, 38.5, 2300.0, 1.8e9),
        links=tuple(links),
        models=tuple(models),
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("machines", nargs="*", type=int, default=[10, 40, 100, 1000, 10_000])
    costs = measure()
    print(f"a record: {costs.size:,} bytes, {costs.receive * 1e6:.0f} µs to take in")
    print(f"a pulse: {costs.pulse:,} bytes, {costs.feel * 1e6:.0f} µs to take in")
    print(f"{'machines':>9} {'':6} {'links':>6} {'all known':>10} {'traffic in':>11} {'CPU':>6}")
    for count in parser.parse_args().machines:
        for name, play in (("flat", flat), ("cells", cells)):
            if name == "flat" and count > LARGEST_FLAT:
                traffic, cpu = _steady(count - 1, 0, costs)
                least = (count - 1) * (LINK_CPU + costs.receive)
                found, note = Outcome(count - 1, least, traffic, cpu), "at least"
            else:
                found, note = play(count, costs), ""
            limit = f"  over Zenoh's {MAX_SESSIONS} links" if found.links > MAX_SESSIONS else ""
            print(
                f"{count:9,} {name:6} {found.links:6,} {note or '':>8} {found.converged:6.1f} s "
                f"{found.bytes_per_second / 1000:6.0f} KB/s {found.cpu:6.1%}{limit}"
            )
    sys.stdout.flush()


if __name__ == "__main__":
    main()

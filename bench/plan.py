"""How long it takes to plan where a model runs, for 10 to 1,000 machines of all kinds.

    make bench SCRIPTS=bench/plan.py

Every machine is measured and linked with every other one. The model has 70 GB in 80 layers, and
either fits a few of them, or none, or not even all together. Then what a plan's constants were
fitted from: what a worker and a way cost, by the times that were measured.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterable
from itertools import combinations

from msgspec import structs

from ayllu.deploy.plan import make_plan
from ayllu.deploy.predict import HOP_SECONDS, ROUND_TRIPS
from ayllu.deploy.types import Demand, Machine, Way, Ways
from ayllu.gguf.layers import LayerSizes

GB = 10**9
LAYERS = 80
ROUNDS = 5
MEASURED = (
    # Milliseconds a token over two workers (360M, Q4_0), by the round trip in ms of each way.
    ("2 workers, 360M Q4_0", 2, ((0, 50.0), (0.5, 50.5), (1, 54.6), (2, 58.5), (5, 65.8))),
    # 71M, Q8_0, through proxies that hold everything back for 2 ms in each direction, or not.
    ("2 workers, 71M Q8_0", 2, ((0, 15.6), (4, 31.3))),
)


def model() -> LayerSizes:
    """70 GB in Q8, with an 8-bit cache of 2,048 values a layer."""
    layer = 70 * GB // LAYERS
    return LayerSizes(
        weights=(layer,) * LAYERS,
        active=(layer,) * LAYERS,
        operations=(2 * layer,) * LAYERS,
        kv=(2048,) * LAYERS,
        embedding=0,
        output=GB,
        width=8192,
        largest=GB // 4,
    )


def fleet(count: int, most: int) -> list[Machine]:
    """Machines with up to `most` bytes of room, every third of which has the model."""
    chance = random.Random(7)  # noqa: S311 - no secret
    return [
        Machine(
            node=f"{number:020}",
            name=f"machine-{number}",
            room=(room := chance.randint(4 * GB, most)),
            worker_room=room * 7 // 9,
            memory_gbs=chance.choice((20.0, 40.0, 60.0, 200.0)),
            tflops=chance.choice((0.2, 0.5, 1.0)),
            holds=number % 3 == 0,
            busy=chance.randint(0, 2),
        )
        for number in range(count)
    ]


def ways(machines: Iterable[Machine]) -> Ways:
    """A way between any two."""
    chance = random.Random(11)  # noqa: S311 - no secret
    nodes = (machine.node for machine in machines)
    return {
        frozenset(pair): Way(chance.uniform(0.2, 4.0), chance.choice((30.0, 110.0, 1100.0)))
        for pair in combinations(nodes, 2)
    }


def measure(name: str, machines: list[Machine], known: Ways) -> None:
    """Plan some times, and print the median."""
    sizes, times = model(), []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        plan = make_plan(sizes, Demand(8192, slots=4), machines, known, here=machines[0].node)
        times.append(1000 * (time.perf_counter() - started))
    best = plan.candidates[0] if plan.candidates else None
    found = f"{best.kind} over {len(best.stages)}" if best else "refused"
    print(f"{len(machines):>6} machines, {name:<28}{statistics.median(times):8.1f} ms  {found}")


def fit() -> None:
    """What round trips cost by the measured times, beside what predictions take."""
    for name, workers, points in MEASURED:
        least = points[0][1]
        for rtt, taken in points[1:]:
            trips = (taken - least) / rtt / workers
            print(f"{name}, {rtt:>4} ms: {trips:5.2f} round trips per worker and token")
    print(f"predictions take {ROUND_TRIPS} of them, and {1000 * HOP_SECONDS} ms per worker")


def main() -> None:
    """Measure fleets of several sizes."""
    for count in (10, 100, 1000):
        machines = fleet(count, 90 * GB)
        known = ways(machines)
        measure("some have room for all", machines, known)
        small = fleet(count, 64 * GB)
        measure("two or three have together", small, known)
        tiny = [structs.replace(one, room=8 * GB, worker_room=6 * GB) for one in machines]
        measure("16 of 100 have together", tiny, known)
        tiny = [structs.replace(one, room=4 * GB, worker_room=3 * GB) for one in machines]
        measure("too few have room", tiny, known)
    fit()


if __name__ == "__main__":
    main()

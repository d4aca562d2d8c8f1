"""What several machines with the same model give together, and what is lost when some are killed.

    make bench SCRIPTS=bench/replicas.py [MODEL="storm [REQUESTS] [SECONDS]"]

By itself a simulation: the real choice of machines (deploy/route.py), for machines that share
their time among the requests they have. With `storm`, real servers on loopback: requests of every
dialect, and one of three machines killed every so many seconds.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from ayllu_servers import Machines
from gguf_maker import CHATML, make_successor_model, walk
from herds import TOKENS, Herd, storm
from msgspec import Struct, structs

from ayllu.deploy.route import Replica, Work, order

REQUESTS = 3000
CLIENTS = 24
CONVERSATIONS = 40
SLOTS = 4
GAIN = 0.5
"""Requests that run together share a machine, but each more of them gives half of one's speed again
(small models on CPUs: 4 streams at once have 2 to 2.5 times the tokens of one)."""
PROMPT_SECONDS, ANSWER_SECONDS = 1.0, 4.0


class Machine(Struct):
    """A simulated machine: the work that is left of its requests, in seconds of it alone."""

    replica: Replica
    left: dict[int, float]
    waiting: list[tuple[int, float]]
    cached: set[int]
    now: float = 0.0

    def speed(self) -> float:
        """Seconds of work per second, of each request."""
        count = len(self.left)
        return (1 + GAIN * (count - 1)) / count if count else 1.0

    def end(self) -> float:
        """When the next request ends, if none comes."""
        return self.now + min(self.left.values()) / self.speed() if self.left else float("inf")

    def advance(self, now: float) -> None:
        """Work until then."""
        done = (now - self.now) * self.speed()
        self.left = {number: rest - done for number, rest in self.left.items()}
        self.now = now

    def take(self, number: int, work: float) -> None:
        """Begin a request, or have it wait."""
        if len(self.left) < SLOTS:
            self.left[number] = work
        else:
            self.waiting.append((number, work))


def simulate(count: int, clients: int, *, sticks: bool) -> tuple[float, float]:
    """Requests per second of some machines that are kept busy, and the share found in a cache."""
    rng = random.Random(1)  # noqa: S311 - no secret
    machines = [
        Machine(
            Replica(node=str(n), digest="", size=1 << 30, loaded=True, busy=0, rtt_ms=1.0),
            {},
            [],
            set(),
        )
        for n in range(count)
    ]
    starts = [(rng.random(), number) for number in range(clients)]
    heapq.heapify(starts)
    asked = done = hits = 0
    now = 0.0
    while done < REQUESTS:
        end = min(machine.end() for machine in machines)
        now = min(end, starts[0][0]) if starts else end
        for machine in machines:
            machine.advance(now)
        for machine in machines:
            for number in [number for number, rest in machine.left.items() if rest <= 1e-9]:
                del machine.left[number]
                done += 1
                heapq.heappush(starts, (now + rng.expovariate(10.0), number))
                if machine.waiting:
                    machine.take(*machine.waiting.pop(0))
        if starts and starts[0][0] <= now:
            _, number = heapq.heappop(starts)
            talk = rng.randrange(CONVERSATIONS)
            replicas = [
                structs.replace(machine.replica, busy=len(machine.left) + len(machine.waiting))
                for machine in machines
            ]
            work = Work(b"%d" % talk if sticks else b"", prompt=2000)
            chosen = machines[int(order(work, replicas)[0].node)]
            hit = talk in chosen.cached
            hits += hit
            asked += 1
            chosen.cached.add(talk)
            if len(chosen.cached) > 2 * SLOTS:
                chosen.cached.remove(rng.choice(sorted(chosen.cached - {talk})))
            chosen.take(
                number, ANSWER_SECONDS * rng.expovariate(1.0) + (0 if hit else PROMPT_SECONDS)
            )
    return done / now, hits / asked


async def lose(requests: int, seconds: float) -> None:
    """Real servers, killed in turn."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        gguf = Path(folder) / "endless.gguf"
        make_successor_model(gguf, chat_template=CHATML, context=8192)
        herd = Herd(Machines(Path(folder), stack), gguf, ("anta", "bari", "chaka"))
        over = asyncio.Event()

        async def strike() -> int:
            kills = 0
            for name in itertools.cycle(herd.replicas):
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), seconds)
                if over.is_set():
                    break
                herd.kill(name)
                kills += 1
                await asyncio.to_thread(herd.restart, name)
            return kills

        striking = asyncio.create_task(strike())
        started = time.perf_counter()
        told = await storm(herd.gateway.url, requests, 6)
        took = time.perf_counter() - started
        over.set()
        whole = sum((one.text, one.ends) == (walk(TOKENS), 1) for one in told)
        print(
            f"{requests} requests in {took:.0f} s, {await striking} kills: {whole} whole and right"
        )


def main() -> None:
    """Simulate, or kill."""
    if sys.argv[1:2] == ["storm"]:
        requests = int(sys.argv[2]) if len(sys.argv) > 2 else 100
        asyncio.run(lose(requests, float(sys.argv[3]) if len(sys.argv) > 3 else 10.0))
        return
    one, _ = simulate(1, CLIENTS, sticks=True)
    print(f"{'machines':>8} {'requests/s':>10} {'of one':>8} {'prompt cached':>14}")
    for count in (1, 2, 3, 6):
        for sticks in (False, True):
            rate, hits = simulate(count, CLIENTS * count // 3, sticks=sticks)
            name = "by conversation" if sticks else "by load alone"
            print(f"{count:>8} {rate:>10.2f} {rate / one:>7.2f}x {hits:>13.0%}  {name}")


if __name__ == "__main__":
    main()

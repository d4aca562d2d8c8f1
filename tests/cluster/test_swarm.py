"""Who is asked for what: whatever others say, all pieces are asked for, and few of them twice."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from ayllu.cluster.have import Have
from ayllu.cluster.swarm import PIPE, SOURCES, Request, Swarm
from ayllu.registry.partial import CHUNK
from ayllu.registry.ranges import Part

DIGEST = "ab" * 32
NAMES = ("aa", "bb", "cc", "dd", "ee", "ff")


def have(count: int, pieces: int = 0, **more: object) -> Have:
    bits = pieces.to_bytes(-(-count // 8), "little")
    return Have(size=count * CHUNK, bits=bits, **more)  # type: ignore[arg-type]


def swarm(count: int, missing: int | None = None) -> Swarm:
    made = Swarm("me", DIGEST, count)
    all_missing = range(count) if missing is None else (n for n in range(count) if missing >> n & 1)
    made.begin(all_missing)
    made.fetches = True
    return made


maps = st.lists(st.integers(0, (1 << 40) - 1), max_size=len(NAMES))


@given(maps, st.integers(0, (1 << 40) - 1), st.randoms(use_true_random=False))
def test_each_piece_that_others_have_is_asked_for_once(
    held: list[int], missing: int, chance: random.Random
) -> None:
    made = swarm(40, missing)
    for name, pieces in zip(NAMES, held, strict=False):
        made.heard(name, have(40, pieces), 0.0)
    under_way: list[Request] = []
    asked: list[int] = []
    now = 0.0
    while True:
        while request := made.next_request(now):
            assert held[NAMES.index(request.node)] >> request.number & 1
            assert missing >> request.number & 1
            under_way.append(request)
            asked.append(request.number)
        assert len({one.node for one in under_way}) <= SOURCES
        assert all(sum(one.node == name for one in under_way) <= PIPE for name in NAMES)
        if not under_way:
            break
        now += 0.01
        done = under_way.pop(chance.randrange(len(under_way)))
        made.arrived(done, now)
        made.landed(done.number)
        made.checked(done.number)
    everything = 0
    for pieces in held:
        everything |= pieces
    assert sorted(asked) == [n for n in range(40) if (everything & missing) >> n & 1]


def test_the_rarest_piece_is_asked_for_first() -> None:
    made = swarm(8)
    made.heard("aa", have(8, 0b11111111), 0.0)
    made.heard("bb", have(8, 0b11011111), 0.0)
    made.heard("cc", have(8, 0b10011111), 0.0)
    found = [made.next_request(0.0) for _ in range(2)]
    assert Request("aa", 5) in found


def test_a_slow_machine_is_asked_for_less() -> None:
    made = swarm(1200)
    for name in NAMES[:2]:
        made.heard(name, have(1200, complete=True), 0.0)
    counts = dict.fromkeys(NAMES[:2], 0)
    due: list[tuple[float, Request]] = []
    now = 0.0
    while now < 20:
        while request := made.next_request(now):
            counts[request.node] += 1
            due.append((now + (0.1 if request.node == "aa" else 4.0), request))
        now, request = min(due)
        due.remove((now, request))
        made.arrived(request, now)
        made.landed(request.number)
        made.checked(request.number)
    assert counts["aa"] > 20 * counts["bb"]


def test_what_is_late_is_asked_of_another_as_well() -> None:
    made = swarm(2)
    for name in NAMES[:2]:
        made.heard(name, have(2, complete=True), 0.0)
    first, second = made.next_request(0.0), made.next_request(0.0)
    assert first
    assert second
    made.arrived(second, 0.1)
    made.landed(second.number)
    made.checked(second.number)
    assert made.next_request(0.2) is None
    assert made.next_request(5.0) == Request(second.node, first.number)
    assert made.next_request(5.0) is None


def test_one_that_gives_nothing_is_left_alone_and_tried_again_later() -> None:
    made = swarm(4)
    made.heard("aa", have(4, complete=True), 0.0)
    assert made.take(64, 0.0) is None
    request = made.next_request(0.0)
    assert request
    made.failed(request, 5.0)
    made.next_request(5.0)
    part = made.take(64, 5.0)
    assert part
    assert made.next_request(6.0) is None
    assert made.next_request(60.0) is not None


class Fetching:
    """Machines that fetch a blob and tell each other at once; `fetched` counts each piece."""

    def __init__(self, count: int, speeds: list[int]) -> None:
        self.count = count
        self.speeds = dict(zip(NAMES, speeds, strict=False))
        self.swarms: dict[str, Swarm] = {}
        self.here = dict.fromkeys(self.speeds, 0)
        self.fetched = [0] * count
        self.now = 0.0

    def join(self, name: str) -> None:
        made = self.swarms[name] = Swarm(name, DIGEST, self.count)
        made.begin(range(self.count))
        made.fetches = True
        for other in self.swarms:
            self.say(other)

    def say(self, name: str) -> None:
        claims = self.swarms[name].claims[:32]
        said = have(self.count, self.here[name], claims=claims, fetches=True)
        for other, made in self.swarms.items():
            if other != name:
                made.heard(name, said, self.now)

    def step(self, number: int) -> None:
        """A twentieth of a second: each gets what others have, and a piece now and then."""
        self.now = number * 0.05
        for name, made in self.swarms.items():
            while request := made.next_request(self.now):
                made.arrived(request, self.now)
                made.landed(request.number)
                made.checked(request.number)
            made.take(64, self.now)
            self.say(name)
            for part in [*made.parts] if number % self.speeds[name] == 0 else []:
                self.fetch(name, part)
            self.say(name)

    def fetch(self, name: str, part: Part) -> None:
        made = self.swarms[name]
        self.fetched[part.number] += 1
        self.here[name] |= 1 << part.number
        made.landed(part.number)
        part.number += 1
        if part.number == part.end:
            made.ended(part)


@given(
    count=st.integers(1, 120),
    speeds=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    late=st.integers(0, 5),
)
@settings(max_examples=20, deadline=None)
def test_machines_that_fetch_share_the_blocks_among_them(
    count: int, speeds: list[int], late: int
) -> None:
    fetching = Fetching(count, speeds)
    *early, last = fetching.speeds
    for name in early or [last]:
        fetching.join(name)
    for number in range(20 * count + 400):
        if number == late and early:
            fetching.join(last)
        fetching.step(number)
        if number > late and not any(made.missing for made in fetching.swarms.values()):
            break
    assert fetching.fetched == [1] * count
    assert not any(made.missing for made in fetching.swarms.values())


def test_a_claim_of_everything_holds_nobody_up_for_long() -> None:
    made = swarm(64)
    claims = tuple((n, n + 2) for n in range(0, 64, 2))
    made.heard("aa", have(64, claims=claims, fetches=True), 0.0)
    assert made.take(64, 0.0) is None
    taken = []
    for step in range(400):
        now = step * 0.5
        made.heard("aa", have(64, claims=claims, fetches=True), now)
        while part := made.take(64, now):
            taken.append((part.number, part.end))
            for number in range(part.number, part.end):
                made.landed(number)
            made.ended(part)
    assert not made.missing
    assert all(a[1] <= b[0] for a, b in pairwise(sorted(taken)))


@given(st.integers(1, 200), st.lists(st.tuples(st.integers(0, 1 << 22), st.integers(0, 1 << 22))))
def test_maps_of_any_kind_are_taken(count: int, claims: list[tuple[int, int]]) -> None:
    made = swarm(count)
    said = Have(size=count * CHUNK, bits=b"\xff" * 99, claims=tuple(claims[:32]), fetches=True)
    made.heard("aa", said, 0.0)
    request = made.next_request(0.0)
    assert request
    assert 0 <= request.number < count
    while part := made.take(8, 100.0):
        assert 0 <= part.number < part.end <= count

"""Which machine answers: least expected time, conversations that stay, loads that are bounded."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from ayllu.deploy.route import BOUND, Replica, Work, by_hash, finish_seconds, order
from ayllu.deploy.trouble import WORST

GIB = 1 << 30
KEYS = [b"conversation %d" % number for number in range(600)]


def replica(node: str, **fields: Any) -> Replica:
    given = {"digest": "d", "size": 4 * GIB, "loaded": True, "busy": 0, "memory_gbs": 40.0}
    return Replica(
        node=node, **{**given, "tflops": 1.0, "disk_mbs": 1000.0, "rtt_ms": 1.0, **fields}
    )


def first(work: Work, *replicas: Replica) -> str:
    return order(work, replicas)[0].node


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"busy": 1}, {"busy": 2}),
        ({"memory_gbs": 80.0}, {"memory_gbs": 40.0}),
        ({}, {"loaded": False}),
        ({"loaded": False, "disk_mbs": 2000.0}, {"loaded": False, "disk_mbs": 100.0}),
        ({"rtt_ms": 1.0}, {"rtt_ms": 40.0}),
        ({"here": True}, {}),
        ({"busy": 9}, {"trouble": 1}),
        ({"busy": 9}, {"fits": False}),
        ({"fits": False}, {"trouble": 1}),
        ({"trouble": 1, "busy": 9}, {"trouble": 2}),
        ({"memory_gbs": 400.0, "busy": 2}, {"memory_gbs": 40.0}),
        ({"memory_gbs": 40.0}, {"memory_gbs": 400.0, "busy": 30}),
    ],
)
def test_the_machine_that_is_done_first_comes_first(
    better: dict[str, Any], worse: dict[str, object]
) -> None:
    assert first(Work(), replica("b", **better), replica("a", **worse)) == "b"


def test_a_long_prompt_makes_computing_count_and_a_long_body_the_way() -> None:
    computes = replica("computes", tflops=10.0, memory_gbs=39.0)
    reads = replica("reads", tflops=0.5, memory_gbs=41.0)
    assert first(Work(prompt=1), computes, reads) == "reads"
    assert first(Work(prompt=4000), computes, reads) == "computes"
    near, far = replica("near", mbs=100.0, busy=1), replica("far", mbs=1.0)
    assert first(Work(length=100), near, far) == "far"
    assert first(Work(length=64 << 20), near, far) == "near"


def test_a_conversation_stays_where_its_beginning_is_cached() -> None:
    work = Work(b"k", prompt=8000)
    machines = [replica(name) for name in "abc"]
    home = first(work, *machines)
    busy = [structs.replace(one, busy=2 if one.node == home else 1) for one in machines]
    assert first(work, *busy) == home
    assert first(Work(b"k", prompt=10), *busy) != home
    slow = [structs.replace(one, memory_gbs=1.0) if one.node == home else one for one in machines]
    assert first(work, *slow) != home


def test_a_machine_that_joins_takes_its_share_of_conversations_and_no_more() -> None:
    before = [replica(name) for name in "abc"]
    after = [*before, replica("d")]
    homes = {key: first(Work(key), *before) for key in KEYS}
    now = {key: first(Work(key), *after) for key in KEYS}
    assert {now[key] for key in KEYS if now[key] != homes[key]} == {"d"}
    moved = sum(now[key] != homes[key] for key in KEYS)
    assert len(KEYS) / 4 * 0.7 < moved < len(KEYS) / 4 * 1.3
    assert min(Counter(homes.values()).values()) > len(KEYS) / 3 * 0.7


@given(st.lists(st.binary(min_size=1, max_size=8), max_size=60), st.integers(1, 6))
def test_no_machine_gets_much_more_than_its_share(keys: list[bytes], count: int) -> None:
    busy = Counter({str(number): 0 for number in range(count)})
    for done, key in enumerate(keys):
        # A prompt that is worth staying for: only the bound sends it elsewhere.
        work = Work(key, prompt=1 << 15)
        node = first(work, *(replica(name, busy=load) for name, load in busy.items()))
        busy[node] += 1
        assert busy[node] <= math.ceil(BOUND * (done + 1) / count)


@given(
    st.lists(
        st.builds(
            replica,
            st.text("abcdef", min_size=1, max_size=3),
            busy=st.integers(0, 20),
            loaded=st.booleans(),
            memory_gbs=st.floats(0, 1000),
            tflops=st.floats(0, 100),
            rtt_ms=st.floats(0, 500),
            trouble=st.integers(0, WORST),
        ),
        max_size=8,
        unique_by=lambda one: one.node,
    ),
    st.binary(max_size=80),
    st.integers(0, 1 << 15),
)
def test_every_machine_is_asked_in_the_end_and_troubled_ones_last(
    replicas: list[Replica], key: bytes, prompt: int
) -> None:
    work = Work(key, prompt)
    found = order(work, replicas)
    assert sorted(found, key=lambda one: one.node) == sorted(replicas, key=lambda one: one.node)
    troubles = [one.trouble for one in found]
    assert troubles == sorted(troubles)
    seconds = [finish_seconds(one, work) for one in found]
    assert all(math.isfinite(second) and second > 0 for second in seconds)
    assert found == order(work, reversed(replicas))


def test_all_machines_agree_on_a_conversations_order() -> None:
    for key in KEYS[:20]:
        assert by_hash(key, "abcdef") == by_hash(key, reversed("abcdef"))

"""Plans worked by hand: who runs a model, how fast it is said to be, what is refused and how."""

from __future__ import annotations

import pytest
from msgspec import structs
from plan_maker import GB, LAN_OF_ALL, machine, sizes, ways

from ayllu.deploy.needs import PROCESS
from ayllu.deploy.plan import make_plan, pinned_plan
from ayllu.deploy.predict import READS
from ayllu.deploy.types import Candidate, Demand, Machine, Way
from ayllu.errors import BadRequestError

SEVENTY = sizes(*(GB * 7 // 8,) * 80, width=8192, largest=GB // 8)
"""70 GB in Q8, 80 layers."""
BUFFER = PROCESS + 128 * 8192 * 4 * 32


def test_a_token_of_70_gb_takes_as_long_as_reading_them() -> None:
    reading = 70 / (READS * 40)
    alone = [machine("a", 80 * GB)]
    plan = make_plan(SEVENTY, Demand(4096), alone, {}, here="a")
    assert [one.kind for one in plan.candidates] == ["local"]
    assert 1 / plan.candidates[0].tokens_per_second == pytest.approx(reading, rel=0.01)

    several = [machine(node, 25 * GB) for node in "abc"]
    plan = make_plan(SEVENTY, Demand(4096), several, LAN_OF_ALL, here="a")
    assert [one.kind for one in plan.candidates] == ["split"] * 3
    assert 1 / plan.candidates[0].tokens_per_second == pytest.approx(reading, rel=0.02)
    # 4 batches: a token, then 127 times 140 GFLOP on 0.55 TFLOPS; and over two ways of 110 MB/s.
    passing = 512 * 8192 * 4 * 4 / 110e6
    assert plan.candidates[0].first_token == pytest.approx(
        4 * (reading + 127 * 0.14 / 0.55) + passing, rel=0.01
    )


def test_the_fastest_machines_are_full_and_the_slowest_has_the_rest() -> None:
    found = [
        machine("a", 30 * GB, memory_gbs=40.0),
        machine("b", 30 * GB, memory_gbs=60.0, holds=False),
        machine("c", 30 * GB, memory_gbs=20.0, holds=False),
    ]
    best = make_plan(SEVENTY, Demand(4096), found, LAN_OF_ALL, here="a").candidates[0]
    assert [(one.node, one.layers) for one in best.stages] == [("a", 34), ("c", 13), ("b", 33)]
    assert best.stages[0].size == 34 * GB * 7 // 8 + BUFFER
    assert "70 GB" in best.why


def test_a_machine_that_is_not_needed_is_left_out() -> None:
    found = [machine(node, 50 * GB) for node in "abcdef"]
    best = make_plan(SEVENTY, Demand(4096), found, LAN_OF_ALL, here="a").candidates[0]
    assert len(best.stages) == 2
    assert best.head == "a"


def test_more_than_two_workers_are_asked_only_where_two_have_no_room() -> None:
    found = [machine("a", 20 * GB)]
    found += [machine(node, 20 * GB, memory_gbs=400.0) for node in "bcd"]
    found += [machine("e", 60 * GB, memory_gbs=40.0, holds=False)]
    best = make_plan(SEVENTY, Demand(4096), found, LAN_OF_ALL, here="a").candidates[0]
    assert "e" in {one.node for one in best.stages}
    assert len(best.stages) <= 3
    best = make_plan(SEVENTY, Demand(4096), found[:4], LAN_OF_ALL, here="a").candidates[0]
    assert len(best.stages) == 4


def test_many_small_machines_hold_it_together_but_no_more_than_the_engine_takes() -> None:
    found = [machine(f"n{number:02}", 5 * GB, holds=number == 0) for number in range(30)]
    best = make_plan(SEVENTY, Demand(4096), found, {}, here="n00").candidates[0]
    assert len(best.stages) == 16
    assert sum(one.layers for one in best.stages) == 80
    smaller = [structs.replace(one, room=4 * GB, worker_room=4 * GB) for one in found]
    refusal = make_plan(SEVENTY, Demand(4096), smaller, {}, here="n00").refusal
    assert refusal.endswith("N07 4 GB, 9 others 36 GB: 10 GB are missing")


def test_a_refusal_names_what_each_machine_gives_and_what_is_missing() -> None:
    found = [machine("a", 12 * GB), machine("b", 6 * GB, may_work=False)]
    plan = make_plan(SEVENTY, Demand(4096), found[:1], {}, here="a")
    assert plan.refusal == "needs 70 GB; A gives 12 GB: 58 GB are missing"
    assert make_plan(SEVENTY, Demand(4096), found, LAN_OF_ALL, here="a") == plan
    able = [found[0], structs.replace(found[1], may_work=True)]
    plan = make_plan(SEVENTY, Demand(4096), able, LAN_OF_ALL, here="a")
    assert plan.refusal == "needs 70 GB; A gives 12 GB, B 6 GB: 52 GB are missing"
    nobody = [structs.replace(one, holds=False) for one in able]
    plan = make_plan(SEVENTY, Demand(4096), nobody, LAN_OF_ALL, here="a")
    assert plan.refusal == "is on no machine of the ayllu"


def test_the_kv_cache_of_all_slots_counts() -> None:
    model = sizes(*(GB,) * 10, kv=10_000, width=1024)
    alone = [machine("a", 11 * GB)]
    assert make_plan(model, Demand(4096), alone, {}, here="a").candidates
    assert make_plan(model, Demand(4096, slots=4), alone, {}, here="a").refusal
    assert make_plan(model, Demand(40_960), alone, {}, here="a").refusal
    assert make_plan(model, Demand(4096, draft=GB), alone, {}, here="a").refusal


SMALL = sizes(*(GB // 10,) * 10, width=1024)


def test_the_machine_whose_answer_would_be_complete_first_is_asked() -> None:
    here, there = machine("a", 9 * GB), machine("b", 9 * GB)

    def first(*found: Machine) -> tuple[str, str]:
        best = make_plan(SMALL, Demand(4096), found, LAN_OF_ALL, here="a").candidates[0]
        return best.kind, best.head

    assert first(here, there) == ("local", "a")
    assert first(here, structs.replace(there, memory_gbs=42.0)) == ("local", "a")
    assert first(here, structs.replace(there, memory_gbs=80.0)) == ("route", "b")
    assert first(structs.replace(here, holds=False), there) == ("route", "b")
    assert first(structs.replace(here, room=0), there) == ("route", "b")
    in_use = structs.replace(here, loaded=True, busy=1)
    assert first(in_use, structs.replace(there, loaded=True)) == ("route", "b")
    assert first(in_use, there) == ("replicate", "b")
    assert first(in_use, structs.replace(there, holds=False)) == ("local", "a")
    assert first(in_use, structs.replace(there, busy=9)) == ("local", "a")


def test_a_copy_is_thought_of_where_those_that_have_it_are_busy_or_have_no_room() -> None:
    here = machine("a", 9 * GB, loaded=True)
    other = machine("b", 9 * GB, holds=False, memory_gbs=400.0, tflops=10.0)

    def kinds(*found: Machine) -> list[str]:
        plan = make_plan(SMALL, Demand(4096), found, LAN_OF_ALL, here="a")
        return [one.kind for one in plan.candidates]

    assert kinds(here, other) == ["local"]
    assert kinds(structs.replace(here, busy=1), other) == ["replicate", "local"]
    assert kinds(structs.replace(here, loaded=False, room=0), other) == ["replicate"]


def test_a_draft_model_makes_up_for_slow_ways() -> None:
    found = [machine(node, 40 * GB, tflops=4.0) for node in "ab"]
    slow = ways("ab", Way(rtt_ms=100.0, mbs=30.0))
    fast, plain = (
        make_plan(SEVENTY, demand, found, slow, here="a").candidates[0].tokens_per_second
        for demand in (Demand(4096, draft=GB // 2, accepted=2.5), Demand(4096))
    )
    assert fast > 1.8 * plain


def test_few_cores_decode_less_than_their_memory_gives() -> None:
    slow = machine("a", 80 * GB, memory_gbs=40.0, tflops=0.2)
    plan = make_plan(SEVENTY, Demand(4096), [slow], {}, here="a")
    assert 1 / plan.candidates[0].tokens_per_second == pytest.approx(140 / 26, rel=0.01)


def test_a_head_computes_in_tiles_where_its_processor_can_and_a_worker_never_does() -> None:
    slow = [machine("a", 60 * GB, tflops=0.2), machine("b", 40 * GB, tflops=0.2)]
    tiles = [structs.replace(one, tiles=True) for one in slow]

    def predicted(found: list[Machine]) -> Candidate:
        return pinned_plan(
            SEVENTY, Demand(4096), found, LAN_OF_ALL, nodes=("a", "b"), split=(50, 30)
        )

    before, after = predicted(slow), predicted(tiles)
    # 50 of 80 layers: 87.5 GFLOP at 0.13 and at 0.45 of 0.2 TFLOPS, or 43.75 GB at 32 GB/s.
    less = 87.5 / 26 - 43.75 / (READS * 40)
    assert 1 / before.tokens_per_second - 1 / after.tokens_per_second == pytest.approx(less)
    assert after.first_token < 0.7 * before.first_token
    assert predicted([slow[0], tiles[1]]) == before


def test_a_machine_without_figures_counts_as_a_slow_one() -> None:
    known, unknown = machine("a", 80 * GB), machine("b", 80 * GB, memory_gbs=0.0, tflops=0.0)
    plan = make_plan(SEVENTY, Demand(4096), [known, unknown], {}, here="b")
    assert plan.candidates[0].head == "a"


def test_a_model_on_graphics_cards_has_no_room_for_the_head_of_a_split() -> None:
    found = [machine("a", 60 * GB, vram=50 * GB), machine("b", 40 * GB, holds=False)]
    assert make_plan(SEVENTY, Demand(1), found, LAN_OF_ALL, here="a").refusal
    found[0] = structs.replace(found[0], vram=10 * GB)
    assert make_plan(SEVENTY, Demand(1), found, LAN_OF_ALL, here="a").candidates


def test_layers_are_put_where_they_are_asked_for() -> None:
    found = [machine("a", 60 * GB), machine("b", 40 * GB, holds=False)]
    best = pinned_plan(SEVENTY, Demand(4096), found, LAN_OF_ALL, nodes=("a", "b"), split=(50, 30))
    assert best.kind == "split"
    assert [(one.node, one.first, one.layers) for one in best.stages] == [
        ("a", 0, 50),
        ("b", 50, 30),
    ]


@pytest.mark.parametrize(
    ("nodes", "split", "why"),
    [
        (
            ("a", "b"),
            (20, 60),
            "B gives 40 GB and 60 layers take 52 GB there: 12 GB are miss",
        ),
        (("a", "b"), (79, 1), "A gives 60 GB and 79 layers take 69 GB there: 9.3 GB are miss"),
        (("a", "b"), (20, 12), "the model has 80 layers, and 20 + 12 is 32"),
        (("a", "b"), (90, -10), "at least one layer"),
        (("a", "b"), (80, 0), "at least one layer"),
        (("a", "b"), (80,), "as many numbers"),
        (("a", "a"), (50, 30), "each machine once"),
        (("a",), (80,), "over 2 to 17 machines"),
        ((), (), "over 2 to 17 machines"),
        (("a", "x"), (50, 30), "no machine x"),
        (("b", "a"), (30, 50), "B answers and has to have the model"),
        (("a", "c"), (50, 30), "C takes no parts of other machines' models"),
    ],
)
def test_what_cannot_be_put_so_is_refused(
    nodes: tuple[str, ...], split: tuple[int, ...], why: str
) -> None:
    found = [
        machine("a", 60 * GB),
        machine("b", 40 * GB, holds=False),
        machine("c", 40 * GB, may_work=False),
    ]
    with pytest.raises(BadRequestError, match=why.replace("+", r"\+")):
        pinned_plan(SEVENTY, Demand(4096), found, LAN_OF_ALL, nodes=nodes, split=split)

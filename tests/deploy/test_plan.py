"""Plans: what always holds, whatever the model and the machines."""

from __future__ import annotations

from random import Random

from hypothesis import assume, given, settings
from hypothesis import strategies as some
from hypothesis.strategies import SearchStrategy
from msgspec import structs
from plan_maker import LAN_OF_ALL, NAMES, sizes

from ayllu.deploy.case import make_case
from ayllu.deploy.needs import Needs
from ayllu.deploy.plan import make_plan
from ayllu.deploy.predict import ANSWER
from ayllu.deploy.refusal import lacking
from ayllu.deploy.split import MORE
from ayllu.deploy.types import Candidate, Demand, Machine, Plan
from ayllu.deploy.whole import WORTH
from ayllu.gguf.layers import LayerSizes
from ayllu.values import human_bytes

Case = tuple[LayerSizes, Demand, list[Machine]]
layer = some.integers(10, 60) | some.integers(100, 300)
models = some.lists(layer, min_size=1, max_size=24).map(
    lambda weights: sizes(*weights, output=5, kv=1, width=1, largest=max(weights) // 2)
)
even_models = some.integers(1, 40).map(lambda count: sizes(*(1_000_000,) * count, largest=500))
ALWAYS, ANY = some.just(value=True), some.booleans()
demands = some.builds(Demand, some.integers(0, 8), some.integers(1, 3), some.integers(1, 4))


def machines_for(
    room: SearchStrategy[int], *, holds: SearchStrategy[bool]
) -> SearchStrategy[list[Machine]]:
    """Machines of all speeds, the first of which holds the model."""
    one = some.builds(
        lambda room, less, speed, holds, may_work, busy: Machine(
            node="",
            name="",
            room=room,
            worker_room=max(room - less, 0),
            memory_gbs=speed,
            tflops=speed / 50,
            holds=holds,
            may_work=may_work,
            busy=busy,
        ),
        room,
        some.integers(0, 50),
        some.sampled_from([0.0, 10.0, 40.0, 60.0, 400.0]),
        holds,
        some.sampled_from([True, True, True, False]),
        some.integers(0, 3),
    )

    def named(found: list[Machine]) -> list[Machine]:
        names = zip(found, NAMES, strict=False)
        kept = [structs.replace(one, node=name, name=name.upper()) for one, name in names]
        return [structs.replace(kept[0], holds=True), *kept[1:]]

    several = some.lists(one, min_size=3, max_size=5) | some.lists(one, min_size=1, max_size=2)
    return several.map(named)


@some.composite
def cases(
    draw: some.DrawFn,
    models: SearchStrategy[LayerSizes] = models,
    holds: SearchStrategy[bool] = ANY,
) -> Case:
    """A model, and machines each of which has room for a part of it, for little, or for all."""
    model, demand = draw(models), draw(demands)
    needs = Needs(model, demand)
    share = some.integers(25, 60) | some.integers(0, 110)
    room = share.map(lambda part: max(needs.head, needs.worker) + needs.layers * part // 100)
    return model, demand, draw(machines_for(room, holds=holds))


def plan_of(model: LayerSizes, demand: Demand, machines: list[Machine]) -> Plan:
    return make_plan(model, demand, machines, LAN_OF_ALL, here="a")


def seconds(candidate: Candidate) -> float:
    """Until an answer would be complete; a token's where the model is split."""
    token = 1 / candidate.tokens_per_second
    return (
        token
        if candidate.kind == "split"
        else (candidate.wait + candidate.first_token + ANSWER * token)
    )


@settings(deadline=None)
@given(cases())
def test_every_layer_is_somewhere_and_nobody_has_more_than_its_room(
    case: Case,
) -> None:
    model, demand, machines = case
    needs, known = Needs(model, demand), {one.node: one for one in machines}
    for candidate in plan_of(model, demand, machines).candidates:
        head, *workers = candidate.stages
        assert known[head.node].holds or candidate.kind == "replicate"
        assert head.size == needs.head + needs.of(0, head.layers) <= known[head.node].room
        end = head.layers
        for stage in workers:
            assert stage.first == end
            assert stage.layers > 0
            end += stage.layers
            assert stage.size == needs.worker + needs.of(stage.first, end)
            assert stage.size <= known[stage.node].worker_room
            assert known[stage.node].may_work
        assert end == model.layers
        assert len({stage.node for stage in candidate.stages}) == len(candidate.stages)
        assert candidate.tokens_per_second > 0
        assert candidate.why


@settings(deadline=None)
@given(cases())
def test_a_model_that_fits_one_machine_is_never_split(
    case: Case,
) -> None:
    model, demand, machines = case
    plan = plan_of(model, demand, machines)
    fits = any(Needs(model, demand).whole <= one.room for one in machines)
    assert {one.kind == "split" for one in plan.candidates} <= {not fits}
    assert bool(plan.candidates) or not fits


@settings(deadline=None)
@given(cases(), some.integers(0, 4), some.integers(1, 2000))
def test_more_room_never_makes_a_refusal_of_a_plan(case: Case, place: int, more: int) -> None:
    model, demand, machines = case
    assume(plan_of(model, demand, machines).candidates)
    chosen = place % len(machines)
    assert plan_of(model, demand, with_more(machines, chosen, more)).candidates


@settings(deadline=None)
@given(cases())
def test_what_a_refusal_says_is_missing_makes_a_plan_on_any_machine_that_it_names(
    case: Case,
) -> None:
    model, demand, machines = case
    plan = plan_of(model, demand, machines)
    assert bool(plan.refusal) == (not plan.candidates)
    if plan.refusal:
        lack = lacking(make_case(model, demand, machines, LAN_OF_ALL, "a"))
        assert lack.missing > 0
        assert f"{human_bytes(lack.missing)} are missing" in plan.refusal
        for place, one in enumerate(machines):
            if one.node in {named.node for named, _ in lack.rooms}:
                assert f"{one.name} " in plan.refusal
                assert plan_of(model, demand, with_more(machines, place, lack.missing)).candidates


def with_more(machines: list[Machine], place: int, more: int) -> list[Machine]:
    """One of them gets more room, of both kinds."""
    one = machines[place]
    larger = structs.replace(one, room=one.room + more, worker_room=one.worker_room + more)
    return [*machines[:place], larger, *machines[place + 1 :]]


@settings(deadline=None)
@given(cases(models=even_models, holds=ALWAYS), some.integers(1, 4))
def test_a_further_machine_never_makes_the_best_prediction_worse(case: Case, kept: int) -> None:
    model, demand, machines = case
    fewer = plan_of(model, demand, machines[:kept]).candidates
    more = plan_of(model, demand, machines).candidates
    assert more or not fewer
    # A split makes way for one machine that fits all of it, and a long chain for a short one.
    if fewer and more and shape(fewer[0]) == shape(more[0]):
        # A machine less, or this one's own answer, may cost a good part of the time.
        allowed = MORE**3 if fewer[0].kind == "split" else 1 / WORTH
        assert seconds(more[0]) <= seconds(fewer[0]) * allowed + 1e-9


def shape(candidate: Candidate) -> tuple[bool, bool]:
    return candidate.kind == "split", len(candidate.stages) > 3


@settings(deadline=None)
@given(cases(), some.randoms())
def test_neither_the_order_of_the_machines_nor_a_second_look_changes_a_plan(
    case: Case, random: Random
) -> None:
    model, demand, machines = case
    plan = plan_of(model, demand, machines)
    other = random.sample(machines, len(machines))
    assert plan_of(model, demand, other) == plan == plan_of(model, demand, machines)

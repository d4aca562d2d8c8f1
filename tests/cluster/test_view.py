"""What the API shows of records, and the events that lead from one view to the next."""

from __future__ import annotations

import msgspec
import pytest
from cluster_maker import GIB, link, node_id, record

from ayllu.cluster.record import Endpoints, Load
from ayllu.cluster.view import (
    Ayllu,
    Changed,
    ClusterView,
    Joined,
    Left,
    Member,
    Seen,
    SetAside,
    Sighting,
    Snapshot,
    Whole,
    changes,
    view,
)

HOME = Ayllu("k" * 20, "home")
ME = record("desk", links=(link("attic"),))
NEIGHBOUR = Sighting(node_id("phone"), "phone", ("192.168.1.9",), "0.1.0")


def view_of(*members: Member, me: object = ME, seen: tuple[Sighting, ...] = ()) -> ClusterView:
    assert isinstance(me, type(ME))
    return view(Snapshot(me, HOME, members, seen))


def test_the_machine_that_answers_comes_first_and_the_others_by_name() -> None:
    shown = view_of(Member(record("sofa")), Member(record("attic")))
    assert [node.name for node in shown.nodes] == ["desk", "attic", "sofa"]
    assert [node.state for node in shown.nodes] == ["here", "online", "online"]
    assert shown.node == node_id("desk")


def test_a_machine_is_shown_with_what_it_has() -> None:
    node = view_of().nodes[0]
    assert (node.tflops, node.memory_gbs, node.disk_mbs) == (0.75, 41.5, None)
    assert node.addresses == ("192.168.1.7", "fe80::1")
    assert node.since == "2026-11-18T11:06:40Z"
    assert node.load.waiting == 2
    assert node.models[0].loaded
    assert node.links[0].to == node_id("attic")
    assert (node.links[0].rtt_p50_ms, node.links[0].mbs) == (0.41, 110.4)


def test_what_was_not_measured_is_null() -> None:
    unmeasured = record("new", speed=None, links=(link("desk", mbs=0.0),))
    node = view(Snapshot(unmeasured)).nodes[0]
    assert (node.tflops, node.memory_gbs, node.disk_mbs, node.measured_at) == (None,) * 4
    assert node.links[0].mbs is None


def test_totals_are_of_machines_that_can_be_used() -> None:
    lying = Member(record("liar"), "set_aside", "it sent wrong pieces")
    shown = view_of(Member(record("attic", speed=None)), lying)
    assert shown.totals.nodes == 2
    assert shown.totals.tflops == 0.75
    assert shown.totals.ram_total == 64 * GIB
    assert shown.totals.ram_free == 32 * GIB
    assert shown.totals.vram_total == 48 * GIB
    assert shown.totals.vram_free == 40 * GIB
    assert next(node for node in shown.nodes if node.name == "liar").reason == (
        "it sent wrong pieces"
    )


@pytest.mark.parametrize("started", [0.0, 1e18, 0.5])
def test_any_moment_that_a_record_may_name_is_a_time(started: float) -> None:
    assert view(Snapshot(record("odd", started=started))).nodes[0].since.endswith("Z")


@pytest.mark.parametrize("place", ["", ":", "[", "a", "[::1]", ":::::", "a:b:c"])
def test_any_text_may_stand_for_an_address(place: str) -> None:
    odd = record("odd", endpoints=Endpoints(peer=(place,)))
    msgspec.json.encode(view(Snapshot(odd)))


def test_nothing_new_is_no_event() -> None:
    assert list(changes(view_of(), view_of())) == []


def test_machines_come_change_and_go() -> None:
    attic = Member(record("attic"))
    alone, both = view_of(), view_of(attic)
    assert list(changes(alone, both)) == [Joined(both.nodes[1], both.totals)]
    busier = record("attic", counter=2, load=Load(ram_free=GIB, disk_free=GIB))
    after = view_of(Member(busier))
    assert list(changes(both, after)) == [Changed(after.nodes[1], after.totals)]
    assert list(changes(both, alone)) == [Left(node_id("attic"), "attic", alone.totals)]


def test_a_machine_that_is_set_aside_and_taken_back() -> None:
    well = view_of(Member(record("attic")))
    aside = view_of(Member(record("attic"), "set_aside", "it lied"))
    assert list(changes(well, aside)) == [SetAside(aside.nodes[1], aside.totals)]
    assert list(changes(aside, well)) == [Changed(well.nodes[1], well.totals)]
    assert aside.totals.nodes == 1


def test_neighbours_are_told_as_a_list() -> None:
    assert list(changes(view_of(), view_of(seen=(NEIGHBOUR,)))) == [Seen((NEIGHBOUR,))]


def test_joining_an_ayllu_shows_everything_anew() -> None:
    before = view(Snapshot(ME, None, (), (NEIGHBOUR,)))
    after = view_of(Member(record("attic")))
    assert list(changes(before, after)) == [Whole(after)]
    refused = view(Snapshot(ME, HOME, problem="its certificate has expired"))
    assert list(changes(after, refused)) == [Whole(refused)]


def test_a_record_that_is_no_news_changes_nothing() -> None:
    """The counter of a record is none of the view's."""
    again = msgspec.structs.replace(ME, counter=9)
    assert list(changes(view_of(), view_of(me=again))) == []

"""Joining, pairing and leaving as their owner does it: routes and commands of real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ayllu_servers import Machines, models, nodes
from serving import Serving, wait_until

SECRET = "a long secret of ours"


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(tmp_path, stack)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server in no ayllu."""
    with ExitStack() as stack:
        yield Machines(tmp_path_factory.mktemp("alone"), stack).start("alone")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server in an ayllu of its own."""
    with ExitStack() as stack:
        server = Machines(tmp_path_factory.mktemp("up"), stack).start("anta")
        assert server.post("/api/cluster/up", {}).status == 200
        yield server


def pairing(server: Serving) -> dict[str, Any]:
    """The pairing under way."""
    found = server.get("/api/cluster/pair").json["pairings"]
    return next((one for one in found if one["pairing"]), {})


def test_commands_make_an_ayllu_and_say_what_to_do_next(machines: Machines) -> None:
    anta, bari = machines.start("anta"), machines.start("bari")
    made = anta.ayllu("up")
    ayllu = anta.get("/api/cluster").json["ayllu"]["id"]
    assert made.stdout == (
        f"anta is in the ayllu {ayllu}, and takes part whenever Ayllu runs.\n"
        "To add a machine, run `ayllu invite` here and type there what it prints.\n"
    )
    invited = anta.ayllu("invite", "--no-admin")
    assert "It works once, for one machine" in invited.stderr
    command = invited.stdout.split()
    assert command[:2] == ["ayllu", "join"]
    joined = bari.ayllu(*command[1:])
    assert joined.stdout.startswith(f"bari joined the ayllu {ayllu}, and takes part")
    wait_until(lambda: set(nodes(anta)) == set(nodes(bari)) == {"anta", "bari"}, what="meeting")
    assert [node["admin"] for node in nodes(anta).values()] == [True, False]
    again = bari.ayllu("invite")
    assert (again.status, again.stdout) == (1, "")
    assert again.stderr.startswith("Error: this machine does not hold the key of the ayllu's CA")
    assert "bari" in anta.ayllu("nodes").stdout

    used = machines.start("chaka").ayllu(*command[1:])
    assert used.stderr == (
        "Error: this invite was used already, by another machine: run `ayllu invite` again\n"
    )


def test_two_machines_pair_when_their_owner_says_so_on_both(machines: Machines) -> None:
    anta, bari = machines.start("anta", port=21900), machines.start("bari", port=21900)
    anta.post("/api/cluster/up", {})
    assert bari.post("/api/cluster/pair", {}).status == 200
    wait_until(lambda: bari.get("/api/cluster/pair").json["pairings"], what="hearing a beacon")
    assert [one["name"] for one in bari.get("/api/cluster").json["seen"]] == ["anta"]

    assert bari.post("/api/cluster/pair", {"node": "ANTA"}).status == 200
    ours, theirs = pairing(bari), pairing(anta)
    assert (ours["name"], theirs["name"]) == ("anta", "bari")
    assert ours["digits"] == theirs["digits"]
    confirmed = bari.post("/api/cluster/pair/confirm", {"pairing": ours["pairing"]})
    assert confirmed.json["pairings"][0]["state"] == "confirmed"
    assert set(nodes(bari)) == {"bari"}
    anta.post("/api/cluster/pair/confirm", {"pairing": theirs["pairing"]})
    wait_until(lambda: set(nodes(anta)) == set(nodes(bari)) == {"anta", "bari"}, what="meeting")
    assert pairing(bari)["state"] == pairing(anta)["state"] == "paired"
    assert bari.get("/api/cluster").json["seen"] == []


def test_one_no_is_enough(machines: Machines) -> None:
    anta, bari = machines.start("anta", port=21910), machines.start("bari", port=21910)
    anta.post("/api/cluster/up", {})
    bari.post("/api/cluster/pair", {})
    wait_until(lambda: bari.get("/api/cluster/pair").json["pairings"], what="hearing a beacon")
    bari.post("/api/cluster/pair", {"node": "anta"})
    ident = pairing(anta)["pairing"]
    anta.post("/api/cluster/pair/confirm", {"pairing": ident, "accept": False})
    wait_until(lambda: pairing(bari)["state"] == "refused", what="hearing of it")
    assert pairing(bari)["sentence"] == "the user of anta said no"
    late = bari.post("/api/cluster/pair/confirm", {"pairing": ident})
    assert (late.status, late.json) == (400, {"error": "this pairing is refused already"})
    assert bari.get("/api/cluster").json["ayllu"] is None


def test_machines_with_the_same_secret_join_by_themselves(machines: Machines) -> None:
    told = {"AYLLU_TRUSTED_LAN": SECRET}
    anta = machines.start("anta", port=21920, **told)
    bari = machines.start("bari", port=21920, **told)
    other = machines.start("other", port=21920, AYLLU_TRUSTED_LAN=SECRET[::-1])
    wait_until(lambda: set(nodes(anta)) == set(nodes(bari)) == {"anta", "bari"}, what="meeting")
    wait_until(lambda: other.get("/api/cluster").json["ayllu"] is not None, what="its own ayllu")
    assert set(nodes(other)) == {"other"}


def test_what_the_owner_chose_is_kept(machines: Machines) -> None:
    anta = machines.start("anta")
    named = anta.ayllu("up", "--name", "La cocina", "--peer", "127.0.0.1:9")
    assert named.stdout.startswith("La cocina is in the ayllu ")
    anta.stop()
    anta = machines.start("anta")
    wait_until(lambda: set(nodes(anta)) == {"La cocina"}, what="coming back")


def test_a_cluster_that_cannot_start_says_why_and_the_server_goes_on(
    machines: Machines, tmp_path: Path
) -> None:
    anta = machines.start("anta")
    anta.post("/api/cluster/up", {})
    anta.stop()
    (tmp_path / "anta" / "cluster" / "ca.crt").write_text("nonsense")
    anta = machines.start("anta")
    wait_until(lambda: anta.get("/api/cluster").json["problem"], what="a problem")
    assert "ca.crt is damaged" in anta.get("/api/cluster").json["problem"]
    assert anta.post("/api/tokenize", {"model": "mini", "content": "hi"}).status == 200


def test_a_machine_that_stays_alone_does_so(machines: Machines) -> None:
    off = machines.start("off", AYLLU_CLUSTER="off")
    refused = off.post("/api/cluster/up", {})
    assert (refused.status, refused.json["error"]) == (
        403,
        "this machine stays alone: AYLLU_CLUSTER is off",
    )


def test_a_pull_on_another_machine_takes_what_this_one_has(machines: Machines) -> None:
    anta, bari = machines.pair("anta", "bari")
    anta.make("solo", **{"from": "mini", "system": "You are alone."})
    done = anta.ayllu("pull", "solo", "--on", "bari")
    assert done.status == 0, done.stderr
    assert "bari: success\n" in done.stderr
    assert bari.post("/api/show", {"model": "solo"}).json["system"] == "You are alone."
    wait_until(lambda: models(anta).get("solo:latest") == {"anta", "bari"}, what="hearing of it")
    lines = anta.post("/api/cluster/pull", {"model": "nowhere", "on": ["all"]}).lines
    failed = {line["name"]: line["failed"] for line in lines if "failed" in line}
    assert set(failed) == {"anta", "bari"}
    assert lines[-1]["error"].startswith("nowhere could not be pulled on ")
    whole = anta.post("/api/cluster/pull", {"model": "solo", "on": ["bari"], "stream": False})
    assert whole.json == {"status": "success"}


BAD: list[tuple[str, Any, int, str]] = [
    ("join", {}, 400, "invite"),
    ("join", {"code": "ayllu-nonsense"}, 400, "the invite is mistyped"),
    ("join", {"code": "x" * 5000}, 400, "the request does not fit"),
    ("invite", {}, 400, "this machine is in no ayllu"),
    ("invite", {"admin": "perhaps"}, 400, "the request does not fit"),
    ("leave", {}, 400, "this machine is in no ayllu"),
    ("revoke", {"node": "nobody"}, 404, "no machine 'nobody' is there"),
    ("pair", {"node": "nobody"}, 404, "no machine 'nobody' shows itself"),
    ("pair", {"node": "127.0.0.1:1"}, 502, "127.0.0.1:1 cannot be reached"),
    ("pair/confirm", {"pairing": "ff"}, 404, "there is no such pairing"),
    ("up", {"peers": ["not an address"]}, 400, "is no address of a machine"),
    ("up", {"trusted_lan": "short"}, 400, "shorter than 12 characters"),
    ("up", {"name": "a\x1bb"}, 400, "characters that cannot be shown"),
    ("pull", {"model": "mini", "on": ["nobody"]}, 404, "no machine 'nobody' is there"),
    ("pull", {"model": "mini", "on": []}, 400, "the request does not fit"),
    ("pull", {"on": ["all"]}, 400, "model is required"),
]


@pytest.mark.parametrize(("route", "body", "status", "words"), BAD)
def test_mistakes_end_in_a_sentence(
    alone: Serving, route: str, body: Any, status: int, words: str
) -> None:
    answer = alone.post(f"/api/cluster/{route}", body)
    assert (answer.status, words in answer.json["error"]) == (status, True), answer.body
    assert alone.get("/api/cluster").json["ayllu"] is None


def test_a_machine_cannot_revoke_itself_and_can_revoke_one_that_is_gone(up: Serving) -> None:
    own = up.post("/api/cluster/revoke", {"node": "anta"})
    assert (own.status, "`ayllu leave` takes it out" in own.json["error"]) == (400, True)
    gone = "a" * 20
    assert up.post("/api/cluster/revoke", {"node": gone}).json == {"node": gone, "name": gone}


def test_questions_are_not_asked_without_a_terminal(up: Serving) -> None:
    for command in (["revoke", "anta"], ["leave"], ["pair"]):
        refused = up.ayllu(*command)
        assert refused.status == 1
        assert "run it in a terminal" in refused.stderr
    assert up.get("/api/cluster").json["ayllu"] is not None

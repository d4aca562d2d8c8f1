"""`ayllu nodes`: its table at any width, its live view, its JSON, and what servers may send."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from cli.shell import Shell
from cluster_maker import GIB, link, record
from serving import Serving

from ayllu.cli.nodes_table import COLUMNS, figure, neighbours, nodes_text, short
from ayllu.cli.wire_nodes import ClusterEvent, ClusterReply, Sighting, follow
from ayllu.cluster import view as views
from ayllu.cluster.record import Contribution, Hardware, Load
from ayllu.cluster.view import Ayllu, ClusterView, Member, Snapshot, changes, view

NOW = datetime(2026, 11, 18, 14, 6, 40, tzinfo=UTC)
SMALL = Hardware("ARM", 4, 4, ("neon",), 4 * GIB, (), "Linux aarch64")
DESK = record("desk", links=(link("attic"), link("laptop", wireless=True, rtt_p50=3.2, mbs=21.7)))
ATTIC = record(
    "attic",
    hardware=SMALL,
    load=Load(3 * GIB, GIB, cpu=0.02),
    models=(),
    contribute=Contribution(enabled=False),
)
LAPTOP = record("laptop", speed=None, contribute=Contribution(8 * GIB, 12 * GIB))
HOME = Ayllu("k" * 20, "home")
PHONE = views.Sighting("p" * 20, "phone", ("192.168.1.44",), "0.1.0")


def seen_by_desk(
    *members: Member, ayllu: Ayllu | None = HOME, seen: tuple[views.Sighting, ...] = ()
) -> ClusterView:
    return view(Snapshot(DESK, ayllu, members, seen))


def as_read(sent: object, kind: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(sent), type=kind)


THREE = seen_by_desk(Member(ATTIC), Member(LAPTOP), seen=(PHONE,))


def text(shown: ClusterView, width: int | None) -> str:
    return nodes_text(as_read(shown, ClusterReply), NOW, width)


def test_the_whole_table() -> None:
    lines = text(THREE, None).splitlines()
    header, *rows = (re.split(r"  +", line) for line in lines[:4])
    assert header == [column.header for column in COLUMNS]
    desk, attic, laptop = (dict(zip(header, row, strict=True)) for row in rows)
    assert desk == {
        "NAME": "desk",
        "ADDRESS": "192.168.1.7",
        "TFLOPS": "0.75",
        "GB/s": "42",
        "RAM": "16/32 GiB",
        "VRAM": "20/24 GiB",
        "GIVES": "-",
        "MODELS": "1, 1 loaded",
        "LOAD": "50% 1+2",
        "LINK": "here",
        "VERSION": "0.1.0",
        "SINCE": "3 hours ago",
    }
    assert [attic[name] for name in ("RAM", "VRAM", "MODELS", "LOAD")] == [
        "3.0/4.0 GiB",
        "-",
        "0",
        "2%",
    ]
    assert (attic["LINK"], laptop["LINK"]) == ("0.41 ms 110 MB/s wired", "3.2 ms 22 MB/s WiFi")
    assert (attic["GIVES"], laptop["GIVES"]) == ("off", "8.0 GiB, 12 GiB VRAM")
    assert (laptop["TFLOPS"], laptop["GB/s"]) == ("-", "-")
    assert lines[4] == "3 machines: 1.5 TFLOPS, 68 GiB of memory, 48 GiB of VRAM"
    assert re.split(r"  +", lines[-1]) == [
        "phone",
        "192.168.1.44",
        "0.1.0",
        "pair it: ayllu pair phone",
    ]


@pytest.mark.parametrize("width", [20, 40, 80, 100, 140, 200])
def test_a_narrow_terminal_has_fewer_columns_and_no_longer_lines(width: int) -> None:
    table = text(THREE, width).splitlines()[:4]
    assert max(map(len, table)) <= width
    assert table[0].startswith("NAME")
    assert ("TFLOPS" in table[0]) == (width >= 20)
    assert ("LINK" in table[0]) == (width >= 80)
    assert ("SINCE" in table[0]) == (width >= 200)


def test_a_column_that_says_nothing_is_left_out() -> None:
    bare = record("bare", hardware=SMALL, speed=None)
    header = text(view(Snapshot(bare)), None).splitlines()[0].split()
    assert {"VRAM", "GIVES", "TFLOPS", "GB/s"}.isdisjoint(header)


def test_a_machine_that_is_set_aside_has_its_reason() -> None:
    shown = text(seen_by_desk(Member(ATTIC, "set_aside", "it\nlied\x1b[2J")), None)
    assert "attic is set aside: it lied[2J\n" in shown
    assert "1 machine: 0.75 TFLOPS" in shown


def test_what_is_wrong_with_a_machine_that_is_used_all_the_same_is_said() -> None:
    shown = text(seen_by_desk(Member(ATTIC, "online", "it failed 3 times")), None)
    assert "attic: it failed 3 times\n" in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.0123, "0.012"),
        (0.216, "0.22"),
        (0.996, "1.0"),
        (1.24, "1.2"),
        (9.96, "10"),
        (26.9, "27"),
        (1234.6, "1235"),
    ],
)
def test_figures_have_two_digits_or_as_many_as_they_need(value: float | None, shown: str) -> None:
    assert figure(value) == shown


def test_names_of_strangers_are_quoted_for_a_shell_and_never_long() -> None:
    strangers = (Sighting("a" * 20, "x; reboot"), Sighting("b" * 20, "y" * 99, ayllu="other"))
    first, second = neighbours(strangers).splitlines()
    assert first.rstrip().endswith("ayllu pair 'x; reboot'")
    assert "is in another ayllu" in second
    assert len(short("y" * 99)) == 24


def test_events_lead_to_what_the_server_shows() -> None:
    steps = [
        seen_by_desk(),
        seen_by_desk(Member(ATTIC)),
        THREE,
        seen_by_desk(Member(LAPTOP, "set_aside", "it lied")),
        seen_by_desk(ayllu=None),
        THREE,
    ]
    known = as_read(steps[0], ClusterReply)
    for before, after in itertools.pairwise(steps):
        for event in changes(before, after):
            known = follow(known, as_read(event, ClusterEvent))
        expected = as_read(after, ClusterReply)
        assert {node.id: node for node in known.nodes} == {node.id: node for node in expected.nodes}
        assert (known.seen, known.totals, known.ayllu) == (
            expected.seen,
            expected.totals,
            expected.ayllu,
        )


def test_an_event_of_a_later_server_changes_nothing_it_does_not_bring() -> None:
    known = as_read(THREE, ClusterReply)
    assert follow(known, ClusterEvent("moved")) == known


def scripted(shell: Shell, shown: ClusterView, *events: object, **more: Any) -> None:
    """A server that shows some machines, and then the events."""
    lines = [line for event in events for line in ("event: x", f"data: {encoded(event)}", "")]
    stream = {"type": "text/event-stream", "lines": [": ping", "", *lines], **more}
    shell.serve({"GET /api/cluster": {"body": encoded(shown)}, "GET /api/cluster/events": stream})


def encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()


def test_the_table_goes_to_stdout_and_advice_to_stderr(shell: Shell) -> None:
    scripted(shell, seen_by_desk(ayllu=None))
    done = shell.run("nodes")
    assert done.stdout.splitlines()[-1] == (
        "1 machine: 0.75 TFLOPS, 32 GiB of memory, 24 GiB of VRAM"
    )
    assert "'ayllu up' starts one" in done.stderr
    assert "being measured" not in done.stderr
    scripted(shell, view(Snapshot(LAPTOP, HOME)))
    done = shell.run("nodes")
    assert done.stderr == "This machine is being measured: ask again in some seconds.\n"
    assert done.returncode == 0


def test_measuring_comes_first_where_it_is_asked_for(shell: Shell) -> None:
    measured = {"body": encoded(THREE.nodes[0])}
    shown = {"body": encoded(view(Snapshot(DESK, HOME, problem="its certificate\nhas expired")))}
    fake = shell.serve({"POST /api/cluster/measure": measured, "GET /api/cluster": shown})
    done = shell.run("nodes", "--measure")
    assert done.stdout.startswith("NAME")
    assert done.stderr == "It cannot take part in an ayllu: its certificate has expired\n"
    assert [fact["path"] for fact in fake.facts() if fact["method"] != "HEAD"] == [
        "/api/cluster/measure",
        "/api/cluster",
    ]


def test_json_is_what_the_server_says(shell: Shell) -> None:
    scripted(shell, THREE, views.Whole(THREE), views.Seen(()))
    done = shell.run("nodes", "--json")
    assert json.loads(done.stdout) == json.loads(encoded(THREE))
    assert done.stdout.startswith("{\n  ")
    lines = shell.run("nodes", "--json", "--watch").stdout.splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["snapshot", "seen"]


def test_a_live_table_follows_the_events_until_ctrl_c(shell: Shell) -> None:
    after = seen_by_desk(Member(ATTIC))
    scripted(shell, THREE, views.Whole(THREE), *changes(THREE, after), pause=0.2, hang=True)
    terminal = shell.open_terminal("nodes", "--watch")
    terminal.expect("3 machines")
    assert "laptop" not in terminal.expect("2 machines").rpartition("NAME")[2]
    terminal.send("\x03")
    assert terminal.exit_status() == 130
    assert "Traceback" not in terminal.seen


def test_where_nobody_looks_each_change_is_printed_and_the_end_is_an_error(shell: Shell) -> None:
    after = seen_by_desk(Member(ATTIC))
    scripted(shell, THREE, views.Whole(THREE), *changes(THREE, after))
    done = shell.run("nodes", "-w")
    assert re.findall(r"\d machines", done.stdout)[0] == "3 machines"
    assert re.findall(r"\d machines", done.stdout)[-1] == "2 machines"
    assert "SINCE" in done.stdout
    assert (done.returncode, done.stderr) == (1, "Error: the server has stopped\n")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({"body": "[]"}, "does not answer as an Ayllu server does"),
        ({"body": '{"node": "", "nodes": [{"id": 5}]}'}, "does not answer as an Ayllu server"),
        ({"status": 404, "body": "404 page not found"}, "has no /api/cluster"),
        ({"status": 500, "body": '{"error": "no disk"}'}, "no disk"),
    ],
)
def test_a_server_that_answers_otherwise_is_told_in_a_sentence(
    shell: Shell, reply: dict[str, Any], words: str
) -> None:
    shell.serve({"GET /api/cluster": reply})
    done = shell.run("nodes")
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_error_within_the_events_is_told(shell: Shell) -> None:
    scripted(shell, THREE, views.Whole(THREE), {"error": "the ayllu fell apart"})
    done = shell.run("nodes", "--watch")
    assert done.stderr == "Error: the ayllu fell apart\n"


def test_on_a_real_server_the_machine_is_shown(server: Serving) -> None:
    done = server.ayllu("nodes")
    assert done.status == 0
    assert done.stdout.splitlines()[0].startswith("NAME")
    assert done.stdout.splitlines()[-1].startswith("1 machine:")

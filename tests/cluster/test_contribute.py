"""What the owner gives of a machine: as arithmetic, and with real servers that obey it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ayllu_servers import Machines, ask, nodes
from cluster_maker import GIB, record
from serving import Serving, wait_until

from ayllu.cluster.contribute import Chosen, load, save, terms
from ayllu.cluster.record import Contribution
from ayllu.config import load_settings
from ayllu.errors import StoreError
from ayllu.server.openapi import FreeEndpoint
from ayllu.server.routes import ROUTES

PATH = "/api/cluster/contribute"
CHAT = {"model": "mini", "messages": [{"role": "user", "content": "hi"}], "stream": False}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Serving]]:
    with ExitStack() as stack:
        yield Machines(tmp_path_factory.mktemp("two"), stack).pair("anta", "bari")


def not_now() -> str:
    """Hours that begin and end later."""
    hour = time.localtime().tm_hour
    return f"{(hour + 3) % 24}-{(hour + 6) % 24}"


def test_choices_win_over_settings_and_stay(tmp_path: Path) -> None:
    settings = load_settings({"AYLLU_HOME": str(tmp_path), "AYLLU_CONTRIBUTE_RAM": "8G"})
    desk = record("desk").hardware
    assert terms(settings, load(settings)).at(12, desk) == Contribution(ram=8 * GIB)
    chosen = Chosen(vram="50%").over(Chosen(contribute=False, ram="4G", hours="22-7"))
    save(tmp_path, chosen)
    assert load(settings) == chosen
    given = terms(settings, chosen).at(23, desk)
    assert given == Contribution(ram=4 * GIB, vram=12 * GIB, enabled=False)
    unlimited = Chosen(contribute=True, ram="").over(chosen)
    assert terms(settings, unlimited).at(23, desk) == Contribution(vram=12 * GIB)
    assert terms(settings, unlimited).at(12, desk).enabled is False


@pytest.mark.parametrize("text", ["{", "[]", '{"ram": 5}', '{"ram": "much"}', '{"hours": "7"}'])
def test_a_damaged_file_of_choices_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "contribute.json").write_text(text)
    with pytest.raises(StoreError, match=r"contribute\.json cannot be used"):
        load(load_settings({"AYLLU_HOME": str(tmp_path)}))


def test_a_model_that_takes_more_than_is_given_is_refused(tmp_path: Path) -> None:
    with ExitStack() as stack:
        alone = Machines(tmp_path, stack).start("alone", AYLLU_CONTRIBUTE_RAM="8M")
        refused = alone.post("/api/chat", CHAT)
        assert refused.status == 500
        assert refused.json["error"].startswith("mini:latest needs ")
        sentence = ". AYLLU_CONTRIBUTE_RAM gives models 8.4 MB on this machine"
        assert refused.json["error"].endswith(sentence)
        alone.ayllu("contribute", "--ram", "")
        assert alone.post("/api/chat", CHAT).status == 200


def test_a_machine_that_is_turned_off_does_no_work_for_others(two: tuple[Serving, Serving]) -> None:
    anta, bari = two
    assert anta.ayllu("contribute", "--off").stdout == (
        "Models may take all of this machine's memory and all of this machine's VRAM.\n"
        "Other machines of the ayllu may not use it.\n"
    )
    wait_until(lambda: not nodes(bari)["anta"]["contribute"]["enabled"], what="hearing of it")
    assert "off" in bari.ayllu("nodes").stdout
    sentence = "anta: its owner lets no other machines use it: AYLLU_CONTRIBUTE is off"
    for one in (one for one in ROUTES if one.peers):
        status, body = ask(bari, anta, f"{one.method} {re.sub('{.*?}', 'x', one.path)}")
        is_said = one.method == "HEAD" or sentence.encode() in body
        is_refused = status == 503 and is_said
        assert is_refused != isinstance(one, FreeEndpoint), one.path
    assert anta.post("/api/chat", CHAT).status == 200
    assert anta.ayllu("contribute", "--on").stdout.endswith("may use it at any time.\n")
    assert ask(bari, anta, "POST /api/generate", b'{"model":"mini"}')[0] == 200


def test_outside_of_its_hours_a_machine_works_for_its_owner_alone(
    two: tuple[Serving, Serving],
) -> None:
    anta, bari = two
    hours = not_now()
    changed = anta.ayllu("contribute", "--hours", hours).stdout
    assert f"may use it from {hours}, not now.\n" in changed
    status, body = ask(bari, anta, "POST /v1/embeddings")
    assert (status, f"from {hours} only: AYLLU_CONTRIBUTE_HOURS" in body.decode()) == (503, True)
    assert anta.post("/api/chat", CHAT).status == 200
    always = anta.ayllu("contribute", "--hours", "0-24").stdout
    assert always.endswith("from 0-24, now too.\n")
    assert ask(bari, anta, "POST /v1/embeddings")[0] == 400


def test_what_was_chosen_stays_after_a_restart_and_without_an_ayllu(tmp_path: Path) -> None:
    with ExitStack() as stack:
        machines = Machines(tmp_path, stack)
        anta = machines.start("anta", AYLLU_CONTRIBUTE_HOURS="22-7", AYLLU_CONTRIBUTE_VRAM="1G")
        total = nodes(anta)["anta"]["ram_total"]
        anta.ayllu("contribute", "--ram", "50%", "--vram", "", "--off")
        wanted = {"contribute": False, "ram": "50%", "vram": "", "hours": "22-7"}
        now = {"ram": total // 2, "vram": 0, "enabled": False}
        assert anta.get(PATH).json == {**wanted, "now": now}
        assert nodes(anta)["anta"]["contribute"] == now
        assert anta.post("/api/cluster/up", {}).status == 200
        assert anta.post("/api/cluster/leave", {}).status == 200
        anta.stop()
        anta = machines.start("anta", AYLLU_CONTRIBUTE_RAM="1G")
        assert anta.get(PATH).json == {**wanted, "hours": "", "now": now}
        anta.stop()
        (anta.home / "contribute.json").write_text("nonsense")
        anta = machines.start("anta")
        assert anta.get(PATH).json["contribute"] is False
        assert anta.request("PUT", PATH, {"contribute": True}).json["now"]["enabled"] is True


BAD: list[tuple[dict[str, Any], str]] = [
    ({"ram": "much"}, "this cannot be chosen: "),
    ({"ram": "0"}, "not more than nothing"),
    ({"ram": 8}, "the request does not fit"),
    ({"ram": "9" * 999}, "the request does not fit"),
    ({"vram": "120%"}, "no percentage"),
    ({"hours": "noon"}, "'noon' are no hours of a day"),
    ({"contribute": "perhaps"}, "the request does not fit"),
]


@pytest.mark.parametrize(("body", "words"), BAD)
def test_what_cannot_be_chosen_is_refused_and_changes_nothing(
    two: tuple[Serving, Serving], body: dict[str, Any], words: str
) -> None:
    anta = two[0]
    before = anta.get(PATH).json
    refused = anta.request("PUT", PATH, {"contribute": False, **body})
    assert (refused.status, words in refused.json["error"]) == (400, True), refused.body
    assert anta.get(PATH).json == before

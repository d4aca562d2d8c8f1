"""Why two machines do not meet: one sentence for each reason."""

from __future__ import annotations

import pytest
from msgspec import structs

from ayllu.cluster.diagnose import Here, There, Tried, report

NOW = 1_800_000_000.0
DAY = 86_400.0
HERE = Here(
    name="desk",
    node="d" * 20,
    version="0.1.0",
    now=NOW,
    addresses=("192.168.1.2",),
    ayllu="a" * 20,
    ends=NOW + DAY,
    hears_itself=True,
)
OPEN = (
    Tried("bus", "192.168.1.3:17446", "open"),
    Tried("join door", "192.168.1.3:17449", "open"),
)
THERE = There(
    name="laptop",
    node="l" * 20,
    beacon=True,
    tried=OPEN,
    asked=True,
    version="0.1.0",
    time=NOW + 1,
    ayllu="a" * 20,
    ends=NOW + DAY,
)
MET = structs.replace(THERE, meets=True)


def silent(*ports: str, beacon: bool = False) -> There:
    tried = tuple(Tried("bus", "192.168.1.3:17446", port) for port in ports)  # type: ignore[arg-type]
    return There(name="laptop", beacon=beacon, tried=tried)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (structs.replace(THERE, ayllu="b" * 20), "belongs to another ayllu"),
        (structs.replace(THERE, ayllu=""), "is in no ayllu"),
        (structs.replace(THERE, version="0.2.0"), "runs Ayllu 0.2.0 (here 0.1.0)"),
        (structs.replace(THERE, time=NOW + 7200), "120 minutes ahead of"),
        (structs.replace(THERE, time=NOW - 7200), "120 minutes behind"),
        (structs.replace(THERE, ends=NOW - DAY), "its certificate ran out"),
        (structs.replace(THERE, ends=NOW - DAY, time=NOW - 9 * DAY), "minutes behind"),
        (structs.replace(THERE, revoked=True), "was revoked"),
        (structs.replace(MET, reason="it sent wrong pieces"), "is set aside: it sent wrong pieces"),
        (
            structs.replace(THERE, tried=(Tried("bus", "192.168.1.3:17446", "silent"), OPEN[1])),
            "bus (192.168.1.3:17446) is filtered: open it in its firewall",
        ),
        (silent("silent"), "it is off, asleep or elsewhere"),
        (silent("refused"), "nothing listens there: start Ayllu"),
        (silent("unreachable"), "is on no network that this machine reaches"),
        (silent("silent", beacon=True), "is heard, and bus (192.168.1.3:17446) is filtered"),
        (silent(), "has no address that is known"),
        (silent("open"), "its join door does not answer"),
        (structs.replace(THERE, beacon=True), "is no member now: restart Ayllu there"),
    ],
)
def test_a_machine_that_is_not_met_has_one_reason(other: There, said: str) -> None:
    [finding] = [one for one in report(HERE, (other,)) if one.topic == "laptop"]
    assert said in finding.text


def test_a_machine_that_is_met_is_fine() -> None:
    assert all(finding.fine for finding in report(HERE, (MET,)))


def test_a_strangers_machine_is_nothing_to_mend() -> None:
    findings = report(HERE, (structs.replace(THERE, ayllu="b" * 20),))
    assert all(finding.fine for finding in findings)


def test_filtered_multicast_is_told_though_all_are_met() -> None:
    deaf = structs.replace(MET, beacon=False)
    [finding] = [one for one in report(HERE, (deaf,)) if not one.fine]
    assert finding.topic == "multicast"
    assert "filters multicast" in finding.text
    [finding] = [
        one for one in report(structs.replace(HERE, hears_itself=False), (MET,)) if not one.fine
    ]
    assert "own beacon does not come back" in finding.text


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (structs.replace(HERE, ayllu=""), "this machine is in no ayllu"),
        (structs.replace(HERE, ends=NOW - 1), "the certificate of this machine ran out"),
        (structs.replace(HERE, problem="the port is taken"), "the port is taken"),
        (structs.replace(HERE, addresses=()), "listens on no address"),
    ],
)
def test_what_is_wrong_here_comes_first(here: Here, said: str) -> None:
    assert said in next(iter(report(here, ()))).text


def test_without_an_ayllu_the_neighbours_are_told() -> None:
    alone = structs.replace(HERE, ayllu="")
    free, bound = structs.replace(THERE, ayllu=""), structs.replace(THERE, name="tower")
    told = [finding.text for finding in report(alone, (free, bound))]
    assert "is near, in no ayllu: `ayllu pair laptop`" in told[1]
    assert f"is near, in the ayllu {'a' * 20}: `ayllu pair tower`" in told[2]


def test_an_ayllu_of_one_is_told_how_to_grow() -> None:
    assert "no other machine is known or heard" in list(report(HERE, ()))[-1].text

"""Why two machines do not meet: what was tried with each, and what follows from it.

`Facts` are gathered by `probe.py`; what is here is pure. Of several reasons that one machine has,
the first in the order of the checks is told: a clock that is wrong explains a certificate that is
not valid, and a machine that is off explains that all its ports are silent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from ayllu.cluster.endpoints import host_of
from ayllu.cluster.moments import moment

MOST_SKEW = 300.0
"""Seconds that clocks may differ before it is worth a word; certificates allow an hour."""

Port = Literal["open", "refused", "silent", "unreachable"]
"""What became of connecting: a refusal comes at once, silence is a packet that somebody drops."""


class Finding(Struct, frozen=True):
    """One line of the report: of whom, whether it is as it should be, and what to do if not."""

    topic: str
    fine: bool
    text: str


class Here(Struct, frozen=True, kw_only=True):
    """This machine. `ends` is when its certificate runs out; times are seconds since 1970.

    `hears_itself` says whether its own beacon came back: None where there was no time to.
    """

    name: str
    node: str
    version: str
    now: float
    addresses: tuple[str, ...]
    ayllu: str = ""
    ends: float = 0.0
    problem: str = ""
    hears_itself: bool | None = None


class Tried(Struct, frozen=True):
    """A connection to another machine: what the port is for, its `host:port`, what became of it."""

    purpose: str
    address: str
    port: Port


class There(Struct, frozen=True, kw_only=True):
    """Another machine, by what is known of it and what it said at its join door (`asked`)."""

    name: str
    node: str = ""
    meets: bool = False
    """Whether it is in the table of members now."""
    reason: str = ""
    """Why it is set aside, if it is."""
    revoked: bool = False
    beacon: bool = False
    """Whether its beacon was heard lately."""
    tried: tuple[Tried, ...] = ()
    asked: bool = False
    version: str = ""
    time: float = 0.0
    ayllu: str = ""
    ends: float = 0.0


def report(here: Here, others: tuple[There, ...]) -> Iterator[Finding]:
    """The whole report: this machine first, then each other one."""
    yield from _here(here)
    if not here.ayllu:
        yield from (Finding(other.name, fine=True, text=_near(other)) for other in others)
    elif not others:
        yield Finding(
            "network",
            fine=False,
            text="no other machine is known or heard: is Ayllu running there, on this network? "
            "`ayllu invite` here gives a code for it, `ayllu up --peer HOST:PORT` an address",
        )
    else:
        yield from (_there(here, other) for other in others)
        yield from _multicast(here, others)


def _here(here: Here) -> Iterator[Finding]:
    topic = "here"
    if here.problem:
        yield Finding(topic, fine=False, text=here.problem)
    if not here.ayllu:
        advice = "`ayllu up` makes one, `ayllu join CODE` joins one"
        yield Finding(topic, fine=not here.problem, text=f"this machine is in no ayllu: {advice}")
        return
    if here.ends < here.now:
        text = (
            f"the certificate of this machine ran out at {moment(here.ends)}, and its clock says "
            f"{moment(here.now)}: set the clock if it is wrong, or start an admin machine, which "
            "renews it"
        )
        yield Finding(topic, fine=False, text=text)
    else:
        where = ", ".join(here.addresses) or "no address"
        text = f"{here.name} is in the ayllu {here.ayllu} and listens on {where}"
        yield Finding(topic, bool(here.addresses), text)


def _near(other: There) -> str:
    """What a machine without an ayllu can do with one that it hears."""
    where = f"in the ayllu {other.ayllu}" if other.ayllu else "in no ayllu"
    return f"is near, {where}: `ayllu pair {other.name}` asks it to be one with this machine"


def _there(here: Here, other: There) -> Finding:
    """What is to be said of another machine: one thing, the one that explains the others."""
    if other.meets and other.reason:
        return Finding(other.name, fine=False, text=f"is set aside: {other.reason}")
    if other.meets:
        text = "is a member and there"
        if other.asked and other.version != here.version:
            text += f", with Ayllu {other.version} (here {here.version})"
        return Finding(other.name, fine=True, text=text)
    if other.revoked:
        return Finding(other.name, fine=False, text="was revoked: it has to join again by a code")
    return Finding(other.name, other.asked and _is_stranger(here, other), _reason(here, other))


def _is_stranger(here: Here, other: There) -> bool:
    """Whether it never belonged here: then there is nothing to mend."""
    return other.ayllu != here.ayllu


def _reason(here: Here, other: There) -> str:
    """Why a machine that should be there is not."""
    if not other.asked:
        return _silence(other)
    checks = (_strange, _skewed, _expired, _closed, _differs)
    return next(
        (said for check in checks if (said := check(here, other))),
        "answers at its door and is no member now: restart Ayllu there, and look at its log",
    )


def _strange(here: Here, other: There) -> str:
    if not other.ayllu:
        return "is in no ayllu: `ayllu invite` here, then `ayllu join CODE` there"
    if _is_stranger(here, other):
        return f"belongs to another ayllu ({other.ayllu}): `ayllu leave` there, then join this one"
    return ""


def _skewed(here: Here, other: There) -> str:
    difference = other.time - here.now
    if abs(difference) <= MOST_SKEW:
        return ""
    which = "ahead of" if difference > 0 else "behind"
    return (
        f"its clock ({moment(other.time)}) is {abs(difference) / 60:.0f} minutes {which} this "
        f"one's ({moment(here.now)}): set the one that is wrong"
    )


def _expired(here: Here, other: There) -> str:
    if other.ends >= here.now:
        return ""
    return (
        f"its certificate ran out at {moment(other.ends)}: start it while an admin machine is "
        "there, which renews it"
    )


def _closed(_: Here, other: There) -> str:
    closed = [one for one in other.tried if one.port != "open"]
    return f"is there, and {_ports(closed)}: open it in its firewall" if closed else ""


def _differs(here: Here, other: There) -> str:
    if other.version == here.version:
        return ""
    return f"answers, and runs Ayllu {other.version} (here {here.version}): install the same one"


def _silence(other: There) -> str:
    """What ports that do not answer mean."""
    if not other.tried:
        return "has no address that is known: `ayllu up --peer HOST:PORT` gives it one"
    kinds = {one.port for one in other.tried}
    places = ", ".join(dict.fromkeys(host_of(one.address) for one in other.tried))
    if other.beacon:
        return f"is heard, and {_ports(other.tried)}: open the ports of the cluster in its firewall"
    if "open" in kinds:
        return f"is there ({places}), and its join door does not answer: is it another program?"
    if "refused" in kinds:
        return f"is switched on ({places}), and nothing listens there: start Ayllu on it"
    if kinds == {"unreachable"}:
        return f"is on no network that this machine reaches ({places})"
    return (
        f"does not answer ({places}): it is off, asleep or elsewhere, or a firewall or the WiFi "
        "access point (client isolation) drops what is sent to it"
    )


def _ports(tried: Sequence[Tried]) -> str:
    words = {"refused": "closed", "silent": "filtered", "unreachable": "out of reach"}
    said = [f"{one.purpose} ({one.address}) is {words.get(one.port, one.port)}" for one in tried]
    return ", ".join(said)


def _multicast(here: Here, others: tuple[There, ...]) -> Iterator[Finding]:
    """Whether machines hear each other without being told addresses."""
    near = [other for other in others if other.meets or other.asked]
    deaf = [other.name for other in near if not other.beacon]
    if near and len(deaf) == len(near):
        yield Finding(
            "multicast",
            fine=False,
            text=f"no beacon of {', '.join(deaf)} arrives, though they can be reached: the router "
            "or access point filters multicast, so new machines are found by known addresses only; "
            "allow it, or join by a code (`ayllu invite`)",
        )
    elif here.hears_itself is False:
        yield Finding(
            "multicast",
            fine=False,
            text="this machine's own beacon does not come back: its firewall drops UDP, or the "
            "interface has no multicast",
        )
    elif near:
        yield Finding("multicast", fine=True, text="beacons of other machines arrive")

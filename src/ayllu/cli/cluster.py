"""The commands that make and change an ayllu: up, invite, join, pair, revoke and leave."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime

import click
from msgspec import Struct

from ayllu.cli.client import Client, call
from ayllu.cli.print import clean_line, note, parse_time, write_table
from ayllu.errors import AylluError
from ayllu.types import Json

LOOK_SECONDS = 1.0


class Membership(Struct, frozen=True):
    """What this machine is now."""

    ayllu: str = ""
    node: str = ""
    name: str = ""
    problem: str = ""


class Invitation(Struct, frozen=True):
    """POST /api/cluster/invite."""

    code: str
    expires_at: str = ""
    command: str = ""


class Pairing(Struct, frozen=True):
    """A machine that could be paired, or is about to be."""

    pairing: str = ""
    node: str = ""
    name: str = ""
    address: str = ""
    digits: str = ""
    state: str = ""
    sentence: str = ""


class Pairings(Struct, frozen=True):
    """GET /api/cluster/pair."""

    pairings: tuple[Pairing, ...] = ()


@click.command()
@click.option("--name", default="", help="What this machine is called in the ayllu.")
@click.option("--peer", "peers", metavar="HOST:PORT", multiple=True, help="Another machine of it.")
@click.option(
    "--trusted-lan",
    metavar="SECRET",
    default="",
    help="Let machines of this network join by themselves that were given the same secret.",
)
def up(name: str, peers: tuple[str, ...], trusted_lan: str) -> None:
    """Take part in an ayllu, and make one where this machine is in none."""
    body: Json = {"name": name, "trusted_lan": trusted_lan, "peers": list(peers)}
    now = call(lambda client: client.post("/api/cluster/up", body, Membership))
    _warn(now)
    me = clean_line(now.name)
    print(f"{me} is in the ayllu {now.ayllu}, and takes part whenever Ayllu runs.")
    if trusted_lan:
        print("Other machines of this network join when `ayllu up` gets the same secret there.")
    else:
        print("To add a machine, run `ayllu invite` here and type there what it prints.")


@click.command()
@click.option(
    "--admin/--no-admin",
    default=None,
    help="Whether the new machine may invite others, too. Without: the first three may.",
)
def invite(admin: bool | None) -> None:
    """Print the command by which one other machine joins this one's ayllu."""
    asked = {} if admin is None else {"admin": admin}
    made = call(lambda client: client.post("/api/cluster/invite", asked, Invitation))
    until = parse_time(made.expires_at)
    note(
        f"Type this on the other machine{_until(until)}. It works once, for one machine; whoever "
        "has it can join, so show it to nobody else:"
    )
    print(clean_line(made.command or f"ayllu join {made.code}"))


def _until(moment: datetime | None) -> str:
    return f" until {moment.astimezone():%H:%M}" if moment else ""


@click.command()
@click.argument("code")
def join(code: str) -> None:
    """Join the ayllu of the machine where `ayllu invite` printed CODE."""
    now = call(lambda client: client.post("/api/cluster/join", {"code": code}, Membership))
    _warn(now)
    me = clean_line(now.name)
    print(f"{me} joined the ayllu {now.ayllu}, and takes part whenever Ayllu runs.")
    print("`ayllu nodes` shows its machines, `ayllu list --all` their models.")


def _warn(now: Membership) -> None:
    if now.problem:
        note(f"Warning: {clean_line(now.problem)}")


@click.command()
@click.argument("machine", default="")
def pair(machine: str) -> None:
    """Pair this machine with MACHINE, which may be given by its name or address.

    Run it on both: without MACHINE it lists those of this network and waits to be chosen. Both then
    show the same six digits, and their owner says so on both.
    """
    if not sys.stdin.isatty():
        raise AylluError("pairing asks for your word: run it in a terminal, or use `ayllu invite`")
    call(lambda client: _pair(client, machine))


async def _pair(client: Client, machine: str) -> None:
    found = await client.post("/api/cluster/pair", {"node": machine}, Pairings)
    asked = _waiting(found)
    if asked is None:
        _list(found)
        note("Waiting: run `ayllu pair NAME` on the other machine. Ctrl-C ends this.")
    while asked is None:
        await asyncio.sleep(LOOK_SECONDS)
        asked = _waiting(await client.get("/api/cluster/pair", Pairings))
    digits = f"{asked.digits[:3]} {asked.digits[3:]}"
    where = clean_line(f"{asked.name} at {asked.address}")
    print(f"{where} must show these digits: {digits}")
    accept = await asyncio.to_thread(_is_sure, "Does it?")
    body: Json = {"pairing": asked.pairing, "accept": accept}
    now = await client.post("/api/cluster/pair/confirm", body, Pairings)
    if not accept:
        raise AylluError("not paired: nothing has changed")
    await _follow_pairing(client, now, asked.pairing)


async def _follow_pairing(client: Client, now: Pairings, pairing: str) -> None:
    """Wait for the other machine's owner, and say how it ended."""
    note("Now say so on the other machine.")
    while (one := _of(now, pairing)) is not None and one.state == "confirmed":
        await asyncio.sleep(LOOK_SECONDS)
        now = await client.get("/api/cluster/pair", Pairings)
    if one is None or one.state != "paired":
        why = clean_line(one.sentence) if one is not None else "the pairing is over"
        raise AylluError(f"not paired: {why}")
    other = clean_line(one.name)
    print(f"{other} and this machine are in one ayllu, and take part whenever they run.")


def _waiting(now: Pairings) -> Pairing | None:
    """The pairing that waits for this machine's owner."""
    return next((one for one in now.pairings if one.state == "waiting"), None)


def _of(now: Pairings, pairing: str) -> Pairing | None:
    return next((one for one in now.pairings if one.pairing == pairing), None)


def _list(found: Pairings) -> None:
    rows = [(one.name, one.address, one.node) for one in found.pairings if not one.pairing]
    if rows:
        write_table(("NAME", "ADDRESS", "ID"), rows)
    else:
        note("No other machine of this network shows itself: run `ayllu pair` there, too.")


@click.command()
@click.argument("node")
@click.option("--reason", default="", help="A word for the others.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def revoke(node: str, reason: str, yes: bool) -> None:
    """Take NODE out of the ayllu for good, as when it was lost or sold."""
    _be_sure(f"{node} can come back only as a new machine. Revoke it?", yes=yes)
    body: Json = {"node": node, "reason": reason}
    gone = call(lambda client: client.post("/api/cluster/revoke", body, Membership))
    name = clean_line(gone.name)
    print(f"{name} ({gone.node}) is no member any more, and no machine speaks to it.")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def leave(yes: bool) -> None:
    """Take this machine out of its ayllu. Its models stay."""
    _be_sure("This machine can come back only by a new invite. Leave?", yes=yes)
    was = call(lambda client: client.post("/api/cluster/leave", {}, Membership))
    print("This machine is in no ayllu any more. Its models stay.")
    note(
        "To be sure that nobody uses what was its certificate, run on another machine: "
        f"ayllu revoke {was.node}"
    )


def _be_sure(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise AylluError("this asks for your word: run it in a terminal, or with --yes")
    if not _is_sure(question):
        raise AylluError("nothing has changed")


def _is_sure(question: str) -> bool:
    try:
        return click.confirm(question, default=False)
    except click.Abort as error:
        raise KeyboardInterrupt from error

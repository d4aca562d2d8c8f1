"""`ayllu doctor`: what this machine has, what Ayllu finds on it, and what to mend."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import click

from ayllu.config import SETTINGS, Settings, load_settings
from ayllu.errors import AylluError

LITTLE_DISK = 5 << 30
"""Bytes of free disk below which a middling model does not fit."""


class Finding(NamedTuple):
    """One line of the report."""

    topic: str
    fine: bool
    text: str


@click.command()
@click.option("--network", is_flag=True, help="Say why other machines are not there.")
@click.pass_context
def doctor(context: click.Context, network: bool) -> None:
    """Check this machine and say what to mend. Exits with 1 when something must be.

    With --network, try every machine of the ayllu and of the neighbourhood instead.
    """
    settings = load_settings()
    broken = False
    for check in [_network] if network else CHECKS:
        for finding in _findings(check, settings):
            broken |= not finding.fine
            mark = "ok  " if finding.fine else "MEND"
            click.echo(f"{mark} {finding.topic:<9} {finding.text}")
    context.exit(1 if broken else 0)


Check = Callable[[Settings], Iterator[Finding]]


def _findings(check: Check, settings: Settings) -> Iterator[Finding]:
    """A check's findings, its failure among them."""
    try:
        yield from check(settings)
    except AylluError as error:
        yield Finding(check.__name__.strip("_"), fine=False, text=error.sentence)


def _engine(settings: Settings) -> Iterator[Finding]:
    from ayllu.runner.engine import RPC_PROTOCOL, engine_facts, find_engine

    found = find_engine(settings)
    facts = engine_facts(found)
    where = f"llama.cpp {found.version} ({found.source}) in {found.folder}"
    yield Finding("engine", fine=True, text=where)
    yield Finding("engine", fine=True, text=f"uses {' '.join(facts.cpu_features) or 'no features'}")
    gpus = "; ".join(facts.devices) or "no GPU that it can use"
    yield Finding("engine", fine=True, text=f"backends {' '.join(facts.backends)}; {gpus}")
    wanted = ".".join(map(str, RPC_PROTOCOL))
    yield Finding(
        "engine",
        fine=facts.rpc_protocol.startswith(f"{wanted}."),
        text=f"RPC protocol {facts.rpc_protocol} (Ayllu's machines speak {wanted})",
    )


def _machine(_: Settings) -> Iterator[Finding]:
    from ayllu.system import memory, processor, usable_threads

    ram = memory()
    gib = 1 << 30
    yield Finding("machine", fine=True, text=f"{processor()}, {usable_threads()} CPUs")
    free = f"{ram.available / gib:.1f} of {ram.total / gib:.1f} GiB of memory available"
    yield Finding("machine", fine=True, text=free)


def _models(settings: Settings) -> Iterator[Finding]:
    from ayllu.system import free_disk, nearest_folder

    folder = nearest_folder(settings.models)
    writable = os.access(folder, os.W_OK)
    text = f"models in {settings.models}"
    yield Finding("models", writable, text if writable else f"{folder} cannot be written")
    free = free_disk(folder)
    enough = free > LITTLE_DISK
    advice = "" if enough else ": free some, or move the models with AYLLU_MODELS"
    yield Finding("models", enough, f"{free / (1 << 30):.1f} GiB of disk free{advice}")


def _extra(settings: Settings) -> Iterator[Finding]:
    from ayllu.models.extra import extra_report

    for text, wrong in extra_report(settings):
        yield Finding("extra", fine=True, text=text)
        yield from (Finding("extra", fine=False, text=sentence) for sentence in wrong)


def _server(settings: Settings) -> Iterator[Finding]:
    import asyncio

    from ayllu.cli.client import Client
    from ayllu.cli.tune_watch import under_way

    async def ask() -> tuple[str, list[str]]:
        async with Client(settings) as client:
            return await client.version(), await under_way(client)

    from ayllu.system import port_owner

    url = settings.host.client_url
    try:
        running, jobs = asyncio.run(ask())
    except AylluError:
        owner = port_owner(settings.host.port)
        text = f"{owner} has port {settings.host.port}" if owner else f"none at {url}, none needed"
        yield Finding("server", fine=not owner, text=text)
    else:
        yield Finding("server", fine=True, text=f"version {running} answers at {url}")
        for job in jobs:
            yield Finding("tune", fine=True, text=job)


def _network(_: Settings) -> Iterator[Finding]:
    from ayllu.cli.client import call
    from ayllu.cli.print import clean_line
    from ayllu.cli.wire_nodes import DiagnosisReply

    reply = call(lambda client: client.get("/api/cluster/doctor", DiagnosisReply))
    for found in reply.findings:
        yield Finding(clean_line(found.topic), found.fine, clean_line(found.text))


def _settings(_: Settings) -> Iterator[Finding]:
    known = {name for s in SETTINGS for name in (s.variable, s.other_variable)}
    for name in sorted(os.environ):
        if name in known and os.environ[name]:
            shown = "(hidden)" if re.search("KEY|TOKEN|LOGIN|TRUSTED", name) else os.environ[name]
            yield Finding("settings", fine=True, text=f"{name}={shown}")
        elif name.startswith("AYLLU_"):
            yield Finding("settings", fine=False, text=f"{name} is not a setting")
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("settings", fine=True, text=f"Python {python} at {sys.executable}")


CHECKS: tuple[Check, ...] = (_engine, _machine, _models, _extra, _server, _settings)

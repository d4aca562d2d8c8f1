"""`ayllu nodes`: the machines of the ayllu, what they have, and what they do; once or live."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime

import click
import msgspec

from ayllu.cli.client import Client, ProtocolError, call
from ayllu.cli.nodes_table import nodes_text
from ayllu.cli.print import clean_line, note
from ayllu.cli.progress import spinning
from ayllu.cli.wire_nodes import ClusterEvent, ClusterReply, follow

PATH = "/api/cluster"
EVENTS = "/api/cluster/events"
MEASURE = "/api/cluster/measure"


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Stay, and show each change.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: with --watch a line per event.")
@click.option("--measure", is_flag=True, help="Measure this machine anew first: some seconds.")
def nodes(*, watch: bool, as_json: bool, measure: bool) -> None:
    """Show the machines of this ayllu: what they have, and what they do.

    TFLOPS and GB/s are measured: FP32 on the processor's cores, and reads from memory. RAM and VRAM
    are what is free of how much, GIVES how much of it models may take, where the owner limits that.
    LOAD is the busy share of the processors, with the requests that run + wait. LINK is from here:
    round trip, rate, and whether it is wired. A narrow terminal has fewer columns, --json all there
    is.
    """
    if measure:
        call(_measure)
    if watch:
        call(_watch_json if as_json else _watch)
    else:
        call(_print_json if as_json else _print)


async def _measure(client: Client) -> None:
    async with spinning("measuring this machine"):
        await client.post(MEASURE, {}, dict)


async def _print(client: Client) -> None:
    known = await client.get(PATH, ClusterReply)
    print(text_of(known), end="")
    here = next((node for node in known.nodes if node.id == known.node), None)
    if here is not None and here.measured_at is None:
        note("This machine is being measured: ask again in some seconds.")
    if known.problem:
        note(f"It cannot take part in an ayllu: {clean_line(known.problem)}")
    elif known.ayllu is None:
        note("It is in no ayllu: 'ayllu up' starts one, 'ayllu join CODE' enters another's.")


async def _print_json(client: Client) -> None:
    print(msgspec.json.format(msgspec.json.encode(await client.get(PATH, dict)), indent=2).decode())


async def _watch_json(client: Client) -> None:
    async with aclosing(client.events(EVENTS, dict)) as events:
        async for event in events:
            print(msgspec.json.encode(event).decode(), flush=True)
    raise ProtocolError("the server has stopped")


async def _watch(client: Client) -> None:
    known = ClusterReply(node="", nodes=())
    with _shown(lambda: text_of(known)) as show:
        async with aclosing(client.events(EVENTS, ClusterEvent)) as events:
            async for event in events:
                known = follow(known, event)
                show()
    raise ProtocolError("the server has stopped")


@contextmanager
def _shown(text: Callable[[], str]) -> Iterator[Callable[[], None]]:
    """Draw a text in one place, at each call and twice a second, for its times; else print it."""
    if not sys.stdout.isatty():
        yield lambda: print(text(), flush=True)
        return
    from rich.live import Live
    from rich.text import Text

    def drawn() -> Text:
        return Text(text(), no_wrap=True, overflow="crop", end="")

    with Live(get_renderable=drawn, refresh_per_second=2) as live:
        yield live.refresh


def text_of(known: ClusterReply) -> str:
    """The table as this terminal shows it; whole where nobody looks."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return nodes_text(known, datetime.now(UTC), width)

"""The table of machines as text: what of it fits a terminal, and the lines below it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from ayllu.cli.print import clean_line, relative_time, table, width_of
from ayllu.cli.wire_nodes import ClusterReply, Link, Node, Sighting, Totals

GAP = 2
_GIB = 1 << 30
_LONGEST_NAME = 24


class Column(Struct, frozen=True):
    """A column: where the terminal is narrow, those with the greatest `rank` are left out first."""

    header: str
    rank: int
    cell: Callable[[Node, Mapping[str, Link], datetime], str]


COLUMNS = (
    Column("NAME", 0, lambda node, _, __: short(node.name)),
    Column("ADDRESS", 8, lambda node, _, __: (node.addresses or ("-",))[0]),
    Column("TFLOPS", 1, lambda node, _, __: figure(node.tflops)),
    Column("GB/s", 2, lambda node, _, __: figure(node.memory_gbs)),
    Column("RAM", 3, lambda node, _, __: of(node.ram_free, node.ram_total)),
    Column("VRAM", 5, lambda node, _, __: vram(node)),
    Column("GIVES", 7, lambda node, _, __: gives(node)),
    Column("MODELS", 9, lambda node, _, __: models(node)),
    Column("LOAD", 4, lambda node, _, __: load(node)),
    Column("LINK", 6, lambda node, links, _: link(node, links.get(node.id))),
    Column("VERSION", 10, lambda node, _, __: node.version),
    Column("SINCE", 11, lambda node, _, now: relative_time(node.since, now)),
)


def nodes_text(known: ClusterReply, now: datetime, width: int | None) -> str:
    """All that `ayllu nodes` prints, in lines of at most `width` cells where that can be."""
    links = {link.to: link for node in known.nodes if node.id == known.node for link in node.links}
    columns = [
        [column.header, *(clean_line(column.cell(node, links, now)) for node in known.nodes)]
        for column in COLUMNS
    ]
    shown = fitting(columns, [column.rank for column in COLUMNS], width)
    lines = [table(zip(*shown, strict=True), gap=GAP), f"{total(known.totals)}\n"]
    lines += [
        f"{clean_line(node.name)}{' is set aside' if node.state == 'set_aside' else ''}: "
        f"{clean_line(node.reason)}\n"
        for node in known.nodes
        if node.reason
    ]
    if known.seen:
        lines.append(f"\nNearby, but not in this ayllu:\n{neighbours(known.seen)}")
    # A space too many at the end would begin a line of its own.
    return "".join(f"{line.rstrip()}\n" for line in "".join(lines).splitlines())


def fitting(
    columns: Sequence[list[str]], ranks: Sequence[int], width: int | None
) -> list[list[str]]:
    """The columns that fit a width together; one that says nothing of any machine is left out."""
    kept = [
        (rank, column)
        for rank, column in zip(ranks, columns, strict=True)
        if set(column[1:]) != {"-"}
    ]
    while width is not None and len(kept) > 1 and _width(column for _, column in kept) > width:
        kept.remove(max(kept, key=lambda pair: pair[0]))
    return [column for _, column in kept]


def _width(columns: Iterable[list[str]]) -> int:
    return sum(max(map(width_of, column)) + GAP for column in columns) - GAP


def figure(value: float | None) -> str:
    """A measured figure in two digits, or as many as it has before its point."""
    if value is None:
        return "-"
    digits = next((place for place, least in enumerate((9.95, 0.995, 0.0995)) if value >= least), 3)
    return f"{value:.{digits}f}" if value else "0"


def of(free: int, total: int) -> str:
    """Free memory and all of it: `3.1/32 GiB`."""
    return f"{figure(free / _GIB)}/{figure(total / _GIB)} GiB"


def short(name: str) -> str:
    """A name that leaves room for more than itself."""
    return name if width_of(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def vram(node: Node) -> str:
    """The memory of all GPUs of a machine."""
    free = sum(gpu.vram_free for gpu in node.gpus)
    total = sum(gpu.vram_total for gpu in node.gpus)
    return of(free, total) if total else "-"


def gives(node: Node) -> str:
    """What its owner limits: `8 GiB, 12 GiB VRAM`, and `off` where others get nothing now."""
    given = node.contribute
    limits = ((given.ram, "GiB"), (given.vram, "GiB VRAM"))
    words = [] if given.enabled else ["off"]
    words += [f"{figure(limit / _GIB)} {unit}" for limit, unit in limits if limit]
    return ", ".join(words) or "-"


def models(node: Node) -> str:
    """How many models it holds: `12, 1 loaded`."""
    loaded = sum(model.loaded for model in node.models)
    return f"{len(node.models)}, {loaded} loaded" if loaded else str(len(node.models))


def load(node: Node) -> str:
    """The busy share of its processors; then the requests that run, and that wait: `50% 1+2`."""
    requests = f" {node.load.running}+{node.load.waiting}"
    return f"{node.load.cpu:.0%}{requests if node.load.running or node.load.waiting else ''}"


def link(node: Node, found: Link | None) -> str:
    """The way to it: `0.41 ms 110 MB/s wired`, or why there is none."""
    if node.state not in {"here", "online"}:
        return node.state.replace("_", " ")
    if node.state == "here" or found is None:
        return node.state if node.state == "here" else "-"
    rate = f" {figure(found.mbs)} MB/s" if found.mbs else ""
    return f"{figure(found.rtt_p50_ms)} ms{rate} {'WiFi' if found.wireless else 'wired'}"


def total(totals: Totals) -> str:
    """`3 machines: 1.2 TFLOPS, 48 GiB of memory, 24 GiB of VRAM`."""
    words = [f"{figure(totals.tflops or None)} TFLOPS"] if totals.tflops else []
    words.append(f"{round(totals.ram_total / _GIB)} GiB of memory")
    if totals.vram_total:
        words.append(f"{round(totals.vram_total / _GIB)} GiB of VRAM")
    machines = f"{totals.nodes} machine{'' if totals.nodes == 1 else 's'}"
    return f"{machines}: {', '.join(words)}"


def neighbours(seen: Iterable[Sighting]) -> str:
    """Machines nearby, each with what to type."""
    return table(
        (
            (
                short(one.name),
                (one.addresses or ("-",))[0],
                one.version,
                "is in another ayllu"
                if one.ayllu
                else f"pair it: ayllu pair {shlex.quote(one.name)}",
            )
            for one in seen
        ),
        gap=GAP,
    )

"""Links over the real buses: mutual TLS on loopback."""

from __future__ import annotations

from pathlib import Path

from ayllus import Ayllu, run, until

from ayllu.cluster.links import Links, serve_links
from ayllu.cluster.record import Link


def test_two_machines_measure_the_way_between_them(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        desk, attic = ayllu.member("desk"), ayllu.member("attic")
        control = await ayllu.open(ayllu.config(desk))
        far_control = await ayllu.open(ayllu.config(attic))
        bulk = await ayllu.open(ayllu.config(desk))
        far_bulk = await ayllu.open(ayllu.config(attic))
        told: list[tuple[Link, ...]] = []
        close = serve_links(far_control, far_bulk, attic.node)
        links = Links(
            control,
            bulk,
            is_idle=lambda: True,
            is_wireless=lambda _: False,
            on_change=told.append,
        )
        await until(lambda: bulk.links() and far_bulk.links())
        links.meet(attic.node)
        await until(lambda: links.links and links.links[0].mbs)
        await links.close()
        close()
        [link] = links.links
        assert told[-1] == (link,)
        assert link.to == attic.node
        assert 0 < link.rtt_p50 <= link.rtt_p95 < 1000
        assert link.mbs > 1

    run(tmp_path, scene)

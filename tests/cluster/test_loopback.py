"""Members as processes of their own on loopback, where there is no multicast."""

from __future__ import annotations

import time
from pathlib import Path

from ayllus import homes
from lan import MEMBER, Program, paths


def test_processes_meet_by_gossip_and_notice_the_dead(tmp_path: Path) -> None:
    places, ids = homes(tmp_path, 3)
    programs: list[Program] = []
    known = ""
    try:
        for home in places:
            words = ("127.0.0.1", "0", "0", known, str(home))
            programs.append(Program([*MEMBER, *words], paths()))
            opened = programs[-1].wait(event="open")
            known = known or opened["endpoints"][0]
        for program in programs:
            program.wait(event="joined", there=2)
        now = time.time()
        programs[0].kill()  # whom the others were told of
        for program in programs[1:]:
            program.wait(now, event="left", node=ids[0])
        assert all(program.find(event="left", node=ids[2]) is None for program in programs)
    finally:
        for program in programs:
            program.kill()

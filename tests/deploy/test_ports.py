"""What listens while one machine works for another: nothing off loopback without mutual TLS."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ayllus import homes
from lan import a_lan, missing, paths

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "it is there")
SCAN = Path(__file__).with_name("scanning.py")
HOLD = Path(__file__).with_name("holding.py")


def test_nothing_listens_off_loopback_without_mutual_tls(tmp_path: Path) -> None:
    folders, ids = homes(tmp_path, 2)
    with a_lan(3) as lan:
        far, near, outside = lan.machines
        env = {**paths(), "AYLLU_HOME": str(folders[0]), "AYLLU_HOST": "127.0.0.1:0"}
        server = far.run(sys.executable, "-m", "ayllu", "serve", env=env)
        server.wait(event="ayllu is listening")
        words = (str(folders[1]), ids[0], "17446", far.address)
        holder = near.run(sys.executable, str(HOLD), *words, env=paths())
        holder.wait(text="held\n")
        listing = far.run(sys.executable, str(SCAN), "listening", env=paths())
        found = listing.wait(said="listening")
        assert any("rpc-server" in one["program"] for one in found["ports"])
        open_ones = [one for one in found["ports"] if not one["host"].startswith("127.")]
        assert open_ones
        assert not [one for one in open_ones if "rpc-server" in one["program"]]
        places = [f"{far.address}:{one['port']}" for one in open_ones if one["host"] != "::1"]
        scan = outside.run(sys.executable, str(SCAN), "scan", *sorted(set(places)), env=paths())
        answers = scan.wait(said="scanned")["answers"]
        assert answers
        assert {place: said for place, said in answers.items() if said != "nothing"} == {}

"""How a bus opens: its ports, its addresses, and the words that Zenoh is told."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ayllus import Ayllu, run, until
from msgspec.structs import replace

from ayllu.cluster.bus import BusError
from ayllu.cluster.bus_config import dials, group, zenoh_words
from ayllu.cluster.endpoints import join_endpoint


def test_a_taken_port_is_replaced_by_a_free_one(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        config = ayllu.config(ayllu.member("1"))
        with socket.create_server(("127.0.0.1", config.port)):
            first = await ayllu.open(replace(config, listen=("192.0.2.77", *config.listen)))
        assert len(first.endpoints) == 1
        assert first.endpoints != (join_endpoint("127.0.0.1", config.port),)
        second = await ayllu.join("2")
        await until(second.links)

    run(tmp_path, scene)


def test_a_bus_that_cannot_open_says_why_in_one_sentence(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        config = ayllu.config(ayllu.member("1"))
        with pytest.raises(BusError, match=r"can be listened on \(192\.0\.2\.77: "):
            await ayllu.open(replace(config, listen=("192.0.2.77",)))
        config.credentials.key_file.write_text("no key")
        with pytest.raises(
            BusError, match=r"^cannot open the ayllu's bus on 127\.0\.0\.1:"
        ) as caught:
            await ayllu.open(config)
        assert ".rs" not in caught.value.sentence

    run(tmp_path, scene)


def test_without_multicast_the_bus_opens_all_the_same(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scene(ayllu: Ayllu) -> None:
        config = ayllu.config(ayllu.member("1"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("0.0.0.0", 0))
            await ayllu.open(replace(config, scout=taken.getsockname()[1]))
        second = await ayllu.join("2")
        await until(second.links)

    run(tmp_path, scene)
    said = capfd.readouterr()
    assert "machines are found by known addresses only" in said.out + said.err


def test_each_ayllu_has_a_multicast_group_of_its_own() -> None:
    assert group("a") != group("b")
    assert group("a").startswith("239.")


def test_of_two_machines_one_connects_in_zenohs_order_too(tmp_path: Path) -> None:
    ayllu = Ayllu(tmp_path)
    members = [ayllu.member(str(number)) for number in range(8)]
    words = [zenoh_words(ayllu.config(member)) for member in members]
    low_bytes_first = [int(one["id"], 16).to_bytes(16, "little") for one in words]
    for one, first in zip(members, low_bytes_first, strict=True):
        for other, second in zip(members, low_bytes_first, strict=True):
            assert dials(one.node, other.node) == (first > second)


def test_link_local_addresses_are_left_out(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        config = ayllu.config(ayllu.member("1"))
        bus = await ayllu.open(replace(config, listen=("fe80::1%eth0", "127.0.0.1")))
        assert bus.endpoints == (join_endpoint("127.0.0.1", config.port),)
        with pytest.raises(BusError, match="it has none"):
            await ayllu.open(replace(config, listen=("fe80::1%eth0",)))
        words = zenoh_words(replace(config, peers=("[fe80::1%eth0]:5", "name:5")))
        assert words["connect/endpoints"] == ["tls/name:5"]

    run(tmp_path, scene)


def test_a_bus_that_is_opened_anew_has_the_same_port(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        first, second = await ayllu.join("1"), await ayllu.join("2")
        await until(first.links)
        before = first.endpoints
        await first.close()
        config = ayllu.config(ayllu.keyrings["1"].member())
        port = int(before[0].rpartition(":")[2])
        again = await ayllu.open(replace(config, port=port, peers=second.endpoints))
        assert again.endpoints == before
        await until(again.links)

    run(tmp_path, scene)

from __future__ import annotations

from pathlib import Path

import pytest

from ayllu.cluster.interfaces import Interface, hosts, interfaces, is_virtual, is_wireless


@pytest.mark.parametrize(
    "name",
    [
        "eth0",
        "eno1",
        "enp3s0",
        "enx00e04c680001",
        "wlan0",
        "wlp2s0",
        "wwan0",
        "en0",
        "bond0",
        "br0",
        "Ethernet",
        "Wi-Fi",
    ],
)
def test_interfaces_of_machines_are_real(name: str) -> None:
    assert not is_virtual(name)


@pytest.mark.parametrize(
    "name",
    [
        "docker0",
        "br-1f2e3d",
        "veth12ab",
        "virbr0",
        "tun0",
        "tap1",
        "wg0",
        "tailscale0",
        "utun3",
        "awdl0",
        "zt5u4",
        "cni0",
    ],
)
def test_those_of_containers_virtual_machines_and_vpns_are_not(name: str) -> None:
    assert is_virtual(name)


def test_loopback_is_used_when_it_is_named() -> None:
    (loopback,) = interfaces(("lo", "lo0"))
    assert loopback.loopback
    assert "127.0.0.1" in loopback.hosts
    assert not loopback.wireless


def test_interfaces_that_are_not_there_are_none() -> None:
    assert interfaces(("no-such0",)) == ()


def test_what_is_found_has_addresses_and_is_loopback_only_when_nothing_else_is() -> None:
    found = interfaces()
    assert all(one.hosts for one in found)
    assert len({one.loopback for one in found}) == 1


def test_addresses_of_ipv4_come_first() -> None:
    used = (Interface("a", 1, ("fe80::1%a", "10.0.0.1")), Interface("b", 2, ("10.0.0.2",)))
    assert hosts(used) == ("10.0.0.1", "10.0.0.2", "fe80::1%a")


def test_wireless_is_what_the_system_says_or_else_the_name(tmp_path: Path) -> None:
    for name, mark in (("wlan0", ""), ("eth0", "wireless"), ("eth1", "phy80211")):
        (tmp_path / name / mark).mkdir(parents=True)
    assert [is_wireless(name, tmp_path) for name in ("wlan0", "eth0", "eth1")] == [
        False,
        True,
        True,
    ]
    assert is_wireless("Wi-Fi", tmp_path)
    assert not is_wireless("Ethernet", tmp_path)

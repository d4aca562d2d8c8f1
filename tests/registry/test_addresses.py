"""S11: which addresses may be asked, whatever way they are written."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest
from yarl import URL

from ayllu.config import ConfigError, load_settings
from ayllu.errors import ForbiddenError
from ayllu.registry.addresses import GuardedResolver, PrivateHosts, is_public
from ayllu.registry.web import proxy_of

PRIVATE = [
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "198.18.0.1",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "fd12::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::127.0.0.1",
    "2002:7f00:0001::",
    "2001:db8::1",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_s11_a_private_address_is_refused_with_the_remedy(address: str) -> None:
    parsed = ipaddress.ip_address(address)
    assert not is_public(parsed)
    place = f"[{address}]" if ":" in address else address
    with pytest.raises(ForbiddenError, match="add it to AYLLU_REGISTRIES"):
        PrivateHosts().check(URL(f"http://{place}:5000/v2/"))
    assert not PrivateHosts().allow("innocent.example", 443, parsed)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_asked(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    place = f"[{address}]" if ":" in address else address
    PrivateHosts().check(URL(f"https://{place}/v2/"))


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "a.localhost"])
def test_s11_this_machine_has_names_too(name: str) -> None:
    with pytest.raises(ForbiddenError, match="private address"):
        PrivateHosts().check(URL(f"http://{name}/"))


def test_s11_a_name_that_leads_to_a_private_address_is_not_connected_to() -> None:
    async def look_up(*entries: str) -> list[str]:
        resolver = GuardedResolver(PrivateHosts(entries))
        return [found["host"] for found in await resolver.resolve("localhost", 5000)]

    with pytest.raises(ForbiddenError, match=r"AYLLU_REGISTRIES \(localhost:5000\)"):
        asyncio.run(look_up())
    with pytest.raises(ForbiddenError):
        asyncio.run(look_up("localhost:5001", "10.0.0.0/8"))
    assert "127.0.0.1" in asyncio.run(look_up("localhost:5000"))
    assert "127.0.0.1" in asyncio.run(look_up("127.0.0.0/8"))


@pytest.mark.parametrize(
    ("entry", "host", "port", "address", "allowed"),
    [
        ("registry.lan", "registry.lan", 5000, "10.0.0.5", True),
        ("registry.lan", "REGISTRY.lan.", 80, "10.0.0.5", True),
        ("registry.lan:5000", "registry.lan", 5000, "10.0.0.5", True),
        ("registry.lan:5000", "registry.lan", 22, "10.0.0.5", False),
        ("registry.lan", "other.lan", 5000, "10.0.0.5", False),
        ("10.0.0.0/8", "other.lan", 5000, "10.0.0.5", True),
        ("10.0.0.0/8", "other.lan", 5000, "::ffff:10.0.0.5", True),
        ("10.0.0.0/8", "other.lan", 5000, "192.168.0.5", False),
        ("10.0.0.0/8", "other.lan", 5000, "fd00::1", False),
        ("fd00::/8", "other.lan", 5000, "fd00::1", True),
        ("[fd00::1]:5000", "fd00::1", 5000, "fd00::1", True),
        ("[fd00::1]:5000", "fd00::1", 5001, "fd00::1", False),
        ("fd00::1", "fd00::1", 5001, "fd00::1", True),
        ("127.0.0.1:5000", "127.0.0.1", 5000, "127.0.0.1", True),
        ("127.0.0.1:5000", "127.0.0.1", 11434, "127.0.0.1", False),
    ],
)
def test_the_owner_may_allow_hosts_ports_and_networks(
    entry: str, host: str, port: int, address: str, allowed: bool
) -> None:
    private = PrivateHosts(load_settings({"AYLLU_REGISTRIES": f"x.lan, {entry}"}).registries)
    assert private.allow(host, port, ipaddress.ip_address(address)) == allowed


@pytest.mark.parametrize("entry", ["10.0.0.0/99", "a/b", "host:port", "host:99999"])
def test_what_is_no_host_is_told_at_start(entry: str) -> None:
    with pytest.raises(ConfigError, match="AYLLU_REGISTRIES has the value"):
        load_settings({"AYLLU_REGISTRIES": entry})


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://registry.example/v2/", "http://proxy.lan:3128"),
        ("http://registry.example/v2/", None),
        ("https://direct.example/v2/", None),
        ("https://a.direct.example/v2/", None),
        ("https://127.0.0.1/v2/", None),
        ("https://localhost:5000/v2/", None),
    ],
)
def test_proxies_are_those_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, url: str, proxy: str | None
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "https_proxy", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.lan:3128")
    monkeypatch.setenv("NO_PROXY", "direct.example")
    assert proxy_of(URL(url)) == proxy

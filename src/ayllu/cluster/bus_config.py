"""How a bus is opened, as our words and as Zenoh's configuration.

Every session speaks TLS only and asks for a certificate of the ayllu's CA, as a listener and as a
caller. Names in certificates are node ids, not addresses, so Zenoh compares none; whoever has a
certificate is a member, and who was revoked is denied every message by his name.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from ayllu.cluster.bus import BusError
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.endpoints import join_endpoint
from ayllu.cluster.listening import bound_socket

LEASE = 2000
"""Milliseconds without a sign of life after which a link is given up; four signs are sent in it."""
LONGEST_MESSAGE = 64 << 20
_MESSAGES = (
    "put",
    "delete",
    "declare_subscriber",
    "query",
    "reply",
    "declare_queryable",
    "liveliness_token",
    "liveliness_query",
    "declare_liveliness_subscriber",
)


class BusConfig(Struct, frozen=True, kw_only=True):
    """What a bus needs to open.

    `listen` are addresses of this machine; link-local ones of IPv6 are left out, because Zenoh 1.10
    listens on them and connects to none. `scout` is the UDP port of multicast discovery, 0 for
    none. `peers` are `host:port` texts to connect to, again and again until they answer. Whoever is
    revoked later is not denied until the bus is opened anew.
    """

    credentials: Credentials
    listen: tuple[str, ...]
    port: int
    scout: int = 0
    peers: tuple[str, ...] = ()


def group(cluster: str) -> str:
    """The multicast address of an ayllu's discovery: 239.0.0.0/8 is for private use (RFC 2365)."""
    first, second, third = hashlib.sha256(cluster.encode()).digest()[:3]
    return f"239.{first}.{second}.{third}"


def usable(hosts: Sequence[str]) -> tuple[str, ...]:
    """Those addresses that Zenoh can listen on now: one that was just given may not be ready.

    Raises BusError where it can on none.
    """
    reason = "it has none"
    found = []
    for host in hosts:
        if "%" in host:
            continue
        try:
            bound_socket(host, 0).close()
        except OSError as error:
            reason = f"{host}: {error.strerror}"
        else:
            found.append(host)
    if not found:
        raise BusError(f"no address of this machine can be listened on ({reason})")
    return tuple(found)


def free_port(hosts: Sequence[str], wanted: int) -> int:
    """A TCP port that is free on usable addresses: the wanted one, or else, or for 0, any."""
    for _ in range(16):
        if wanted and is_free(hosts, wanted):
            return wanted
        with bound_socket(hosts[0], 0) as probe:
            wanted = int(probe.getsockname()[1])
    raise BusError("no TCP port is free for the other machines to connect to")


def is_free(hosts: Sequence[str], port: int) -> bool:
    """Whether a TCP port can be listened on at all of the addresses."""
    try:
        for host in hosts:
            bound_socket(host, port).close()
    except OSError:
        return False
    return True


def zenoh_words(config: BusConfig) -> dict[str, Any]:
    """The same by the keys of Zenoh's configuration (its DEFAULT_CONFIG.json5, version 1.10)."""
    own = config.credentials
    words: dict[str, Any] = {
        "id": _zenoh_id(own.node),
        "mode": "peer",
        "listen/endpoints": [f"tls/{join_endpoint(host, config.port)}" for host in config.listen],
        "connect/endpoints": [f"tls/{peer}" for peer in config.peers if "%" not in peer],
        "connect/exit_on_failure": False,
        "scouting/multicast/enabled": bool(config.scout),
        "scouting/gossip/enabled": True,
        "scouting/multicast/autoconnect_strategy": {"peer": {"to_peer": "greater-zid"}},
        "scouting/gossip/autoconnect_strategy": {"peer": {"to_peer": "greater-zid"}},
        "transport/shared_memory/enabled": False,
        "transport/link/protocols": ["tls"],
        "transport/link/tx/lease": LEASE,
        "transport/link/tx/keep_alive": 4,
        "transport/link/rx/max_message_size": LONGEST_MESSAGE,
        "transport/link/tls/root_ca_certificate": str(own.ca_file),
        "transport/link/tls/listen_private_key": str(own.key_file),
        "transport/link/tls/listen_certificate": str(own.certificate_file),
        "transport/link/tls/connect_private_key": str(own.key_file),
        "transport/link/tls/connect_certificate": str(own.certificate_file),
        "transport/link/tls/enable_mtls": True,
        "transport/link/tls/verify_name_on_connect": False,
        "transport/link/tls/close_link_on_expiration": True,
    }
    if config.scout:
        words["scouting/multicast/address"] = f"{group(own.cluster)}:{config.scout}"
        words["scouting/multicast/interface"] = ",".join(
            host for host in config.listen if ":" not in host
        )
    if len(own.revoked):
        words["access_control"] = _denial([entry.node for entry in own.revoked.entries])
    return words


def dials(me: str, other: str) -> bool:
    """Whether this machine, of the two, connects to the other one (by their node ids).

    Two that connect to each other at the same time get two links, with which Zenoh 1.10 loses
    tokens and mixes up keys. Its own discovery keeps to the same order: `greater-zid`.
    """
    return _rank(me) > _rank(other)


def _rank(node: str) -> bytes:
    """64 bits of a node's id."""
    return base64.b32decode(f"{node.upper()}====")[:8]


def _zenoh_id(node: str) -> str:
    """A session's id: it begins with the node's rank, for Zenoh compares the low bytes first."""
    number = int.from_bytes(_rank(node) + secrets.token_bytes(8), "little")
    return f"{number:x}"


def _denial(revoked: Sequence[str]) -> dict[str, Any]:
    """Access control that lets the revoked say and hear nothing."""
    return {
        "enabled": True,
        "default_permission": "allow",
        "rules": [
            {
                "id": "nothing",
                "permission": "deny",
                "messages": _MESSAGES,
                "flows": ["ingress", "egress"],
                "key_exprs": ["**"],
            }
        ],
        "subjects": [{"id": "revoked", "cert_common_names": revoked}],
        "policies": [{"rules": ["nothing"], "subjects": ["revoked"]}],
    }

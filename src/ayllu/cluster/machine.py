"""Which machine this is, by what a copy of its files on another machine does not have.

Only hashes leave this module: machine-id(5) asks that the id be kept from others.
"""

from __future__ import annotations

import array
import hashlib
import socket
import struct
import subprocess
import sys
from pathlib import Path

import psutil
from msgspec import Struct

if sys.platform == "win32":
    import winreg
elif sys.platform == "linux":
    import fcntl

_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_SIOCETHTOOL = 0x8946
_ETHTOOL_GPERMADDR = 0x20
_MOST_ADDRESSES = 16


class Machine(Struct, frozen=True):
    """Hashes of the system's id (empty: it has none) and of the network cards' own addresses."""

    id: str = ""
    addresses: tuple[str, ...] = ()

    def is_same(self, other: Machine) -> bool:
        """Whether both are one machine, as far as one can tell from what both have."""
        if self.id and other.id and self.id != other.id:
            return False
        if self.addresses and other.addresses:
            return not set(self.addresses).isdisjoint(other.addresses)
        return True

    def with_addresses_of(self, other: Machine) -> Machine:
        """This machine, with the cards that it had before too: one may be unplugged today."""
        both = dict.fromkeys((*self.addresses, *other.addresses))
        return Machine(self.id or other.id, tuple(both)[:_MOST_ADDRESSES])


def this_machine() -> Machine:
    """What this machine has. Containers and virtual interfaces have no cards of their own."""
    addresses = sorted(set(_card_addresses()))
    return Machine(_hash(_machine_id()), tuple(map(_hash, addresses))[:_MOST_ADDRESSES])


def _hash(text: str) -> str:
    return hashlib.sha256(f"ayllu machine {text}".encode()).hexdigest()[:32] if text else ""


def _machine_id() -> str:
    if sys.platform == "win32":
        try:
            with winreg.OpenKey(
                winreg.HKEY_LOCAL_MACHINE,
                r"SOFTWARE\Microsoft\Cryptography",
                access=winreg.KEY_READ | winreg.KEY_WOW64_64KEY,
            ) as key:
                return str(winreg.QueryValueEx(key, "MachineGuid")[0])
        except OSError:
            return ""
    if sys.platform == "darwin":
        return _platform_uuid()
    for path in _MACHINE_IDS:
        try:
            text = path.read_text("ascii").strip()
        except (OSError, ValueError):
            continue
        if text and text != "uninitialized":
            return text
    return ""


def _platform_uuid() -> str:
    """A Mac's IOPlatformUUID; empty where ioreg does not say."""
    command = ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"]
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    for line in text.splitlines():
        if '"IOPlatformUUID"' in line:
            return line.rpartition("=")[2].strip().strip('"')
    return ""


def _card_addresses() -> list[str]:
    """The MAC addresses that were burned into the network cards, not those in use today."""
    if sys.platform == "linux":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            names = [name for _, name in socket.if_nameindex()]
            return [address for name in names if (address := _permanent(sock, name))]
    return [
        address.address.lower().replace("-", ":")
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == psutil.AF_LINK and _is_of_a_card(address.address)
    ]


def _permanent(sock: socket.socket, name: str) -> str:
    """A card's permanent address (`ethtool -P`); empty for a virtual or a loopback interface."""
    if sys.platform != "linux":
        return ""
    question = array.array("B", struct.pack("II32x", _ETHTOOL_GPERMADDR, 32))
    pointer, _ = question.buffer_info()
    try:
        fcntl.ioctl(sock.fileno(), _SIOCETHTOOL, struct.pack("16sP", name.encode(), pointer))
    except OSError:
        return ""
    size = struct.unpack_from("II", question)[1]
    address = bytes(question[8 : 8 + min(size, 32)])
    return address.hex(":") if any(address) else ""


def _is_of_a_card(address: str) -> bool:
    """Whether a MAC address was given by a maker: private and virtual ones have a bit set."""
    try:
        octets = bytes.fromhex(address.replace(":", "").replace("-", ""))
    except ValueError:
        return False
    return len(octets) == 6 and any(octets) and not octets[0] & 0b11

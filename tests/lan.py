"""A network of one's own: Linux network namespaces on a bridge, one for each machine.

It needs root and the program `ip`; `missing()` says what is not there. Each network has a name of
its own and is taken down at the end, also by the next one if a test was killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

_PREFIX = "ayllutest"
_PLACES = Path("/run/netns")
_NETWORK = 0x40000000
"""CLONE_NEWNET."""
ROOT = Path(__file__).resolve().parent
MEMBER = (sys.executable, str(ROOT / "cluster" / "member.py"))


def missing() -> str:
    """Why there can be no network namespaces here; empty where there can."""
    if sys.platform != "linux" or os.getuid() != 0 or shutil.which("ip") is None:
        return "network namespaces need Linux, root and the program ip"
    probe = f"{_PREFIX}-{os.getpid()}-probe"
    tried = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False)  # noqa: S607
    if tried.returncode:
        return "network namespaces are not allowed here"
    _ip("netns", "del", probe)
    return ""


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=True)  # noqa: S607
    return done.stdout


def _enter(place: Path | int) -> None:
    """Have this thread be in another network (setns(2))."""
    if isinstance(place, Path):
        with place.open() as opened:
            _enter(opened.fileno())
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(place, _NETWORK):
        raise OSError(ctypes.get_errno(), "setns")


def _sweep() -> None:
    """Take down what dead tests have left."""
    for place in _PLACES.glob(f"{_PREFIX}-*") if _PLACES.exists() else ():
        pid = place.name.split("-")[1]
        if not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", place.name)


class Program:
    """A process whose lines are kept as they come: JSON objects, and other text."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.began = time.time()
        self.lines: list[dict[str, Any]] = []
        self._new: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                said = {"text": line}
            self.lines.append(said)
            self._new.put(None)

    def find(self, since: float = 0.0, **wanted: object) -> dict[str, Any] | None:
        """The first line after a moment that has these values."""
        for line in list(self.lines):
            if float(line.get("at", 0.0)) >= since and wanted.items() <= line.items():
                return line
        return None

    def wait(self, since: float = 0.0, seconds: float = 30.0, **wanted: object) -> dict[str, Any]:
        """The same, waiting for it."""
        end = time.monotonic() + seconds
        while True:
            found = self.find(since, **wanted)
            if found is not None:
                return found
            left = end - time.monotonic()
            assert left > 0, f"{wanted} was not said: {self.lines[-5:]}"
            with contextlib.suppress(queue.Empty):
                self._new.get(timeout=min(left, 0.5))

    def stop(self) -> None:
        """SIGINT; one that goes on says what its threads do."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(20)
            self._reader.join(20)
            pytest.fail(f"the program did not stop: {self.lines}")

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(20)
        self._reader.join(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Machine:
    """One end of the network: `address` is its IPv4 address on the interface `eth0`."""

    def __init__(self, lan: Lan, number: int) -> None:
        self.lan = lan
        self.namespace = f"{lan.name}-{number}"
        self.cable = f"v{number}"
        self.address = f"10.77.0.{number}"
        _ip("netns", "add", self.namespace)
        inside = ("-n", self.namespace)
        _ip(*inside, "link", "set", "lo", "up")
        cable = ("link", "add", self.cable, "type", "veth", "peer", "name", "eth0")
        _ip("-n", lan.switch, *cable, "netns", self.namespace)
        _ip("-n", lan.switch, "link", "set", self.cable, "master", "br0", "up")
        _ip(*inside, "addr", "add", f"{self.address}/24", "brd", "+", "dev", "eth0")
        _ip(*inside, "addr", "add", f"fd77::{number}/64", "dev", "eth0", "nodad")
        _ip(*inside, "link", "set", "eth0", "up")

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> Program:
        """Start a program here; it is killed at the network's end."""
        program = Program(["ip", "netns", "exec", self.namespace, *command], env)
        self.lan.programs.append(program)
        return program

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Have the sockets and the programs that this thread makes be of this machine."""
        with Path("/proc/thread-self/ns/net").open() as before:
            _enter(_PLACES / self.namespace)
            try:
                yield
            finally:
                _enter(before.fileno())

    def member(self, *homes: Path, scout: int = 17446, peers: Sequence[str] = ()) -> Program:
        """Start `cluster/member.py` here."""
        words = ("-", "17446", str(scout), ",".join(peers), *map(str, homes))
        return self.run(*MEMBER, *words, env={**paths(), "PYTHONFAULTHANDLER": "1"})

    def move(self, address: str) -> None:
        """Get another IPv4 address, as from a router."""
        inside = ("-n", self.namespace, "addr")
        _ip(*inside, "del", f"{self.address}/24", "dev", "eth0")  # its routes go with it
        _ip(*inside, "add", f"{address}/24", "brd", "+", "dev", "eth0")
        self.address = address

    def plug(self, *, into: bool) -> None:
        """Pull the cable, or plug it in again."""
        _ip("-n", self.lan.switch, "link", "set", self.cable, "up" if into else "down")


def paths() -> dict[str, str]:
    """What a program needs to import what tests do."""
    source = ROOT.parent / "src"
    return {"PYTHONPATH": os.pathsep.join((str(source), str(ROOT)))}


class Lan:
    """A switch and its machines."""

    def __init__(self) -> None:
        self.name = f"{_PREFIX}-{os.getpid()}-{time.monotonic_ns() % 10**6}"
        self.switch = f"{self.name}-switch"
        self.machines: list[Machine] = []
        self.programs: list[Program] = []
        _ip("netns", "add", self.switch)
        _ip("-n", self.switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        _ip("-n", self.switch, "link", "set", "br0", "up")

    def machine(self) -> Machine:
        """One more."""
        self.machines.append(Machine(self, len(self.machines) + 1))
        return self.machines[-1]

    def filter_multicast(self) -> None:
        """Let no multicast through between machines, as many WiFi access points do."""
        for machine in self.machines:
            device = ("dev", machine.cable)
            for option in ("mcast_flood", "bcast_flood"):
                _ip(
                    "-n", self.switch, "link", "set", *device, "type", "bridge_slave", option, "off"
                )
            # ARP is broadcast: the neighbours are told by hand.
        for machine in self.machines:
            for other in self.machines:
                if other is not machine:
                    link = json.loads(_ip("-n", other.namespace, "-j", "link", "show", "eth0"))
                    neighbour = (other.address, "lladdr", link[0]["address"], "dev", "eth0")
                    _ip("-n", machine.namespace, "neigh", "replace", *neighbour)

    def close(self) -> None:
        """Kill the programs, and take the network down."""
        for program in self.programs:
            program.kill()
        for name in (*(machine.namespace for machine in self.machines), self.switch):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)


@contextlib.contextmanager
def a_lan(machines: int) -> Iterator[Lan]:
    """A network with some machines, for a block."""
    _sweep()
    lan = Lan()
    try:
        for _ in range(machines):
            lan.machine()
        yield lan
    finally:
        lan.close()

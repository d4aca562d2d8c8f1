"""A network between namespaces with the delay and the rate of a real one: a switch in user space.

The kernels of many machines lack `tc netem`. So the cable of each machine of a `tests/lan.py`
becomes a TAP device, and one process takes the frames from all of them: each waits for its turn on
a cable of the rate, and for the delay, and goes on to where its address is. Everything crosses it:
the tunnel, the pings that measure a link, the weights.

    python bench/wire.py MILLISECONDS MBITS NAMESPACE...     (of a round trip, of one direction)
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lan import Lan, Program, paths
from msgspec import Struct

MTU = 9000
"""Fewer frames than with 1500, which a program in Python could not pass on at 1 Gb/s."""
BACKLOG_SECONDS = 0.002
"""What waits for its turn on a cable; more stays with the sender, as in a network card's queue."""
OWN_SECONDS = 0.00006
"""What a frame takes here besides its delay: to be read, to wake up for it, to be written."""
_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
_PR_SET_TIMERSLACK = 29
_LIBC = ctypes.CDLL(None, use_errno=True)


class Cable(Struct):
    """One machine's: when it is free again for a frame, and what is on its way from it."""

    device: int
    free_at: float
    on_way: deque[tuple[float, bytes]]


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Have this thread, and what it starts, speak as the machine of a namespace."""
    ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    theirs = os.open(_NAMESPACES / namespace, os.O_RDONLY)
    try:
        _enter(theirs)
        yield
    finally:
        _enter(ours)
        os.close(ours)
        os.close(theirs)


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "the namespace cannot be entered")


def shape(lan: Lan, milliseconds: float, mbits: float) -> Program:
    """Give the machines of a network cables with this round trip and rate."""
    words = [str(milliseconds), str(mbits), *(machine.namespace for machine in lan.machines)]
    program = Program([sys.executable, __file__, *words], paths())
    lan.programs.append(program)
    program.wait(switch="up")
    return program


def _cable(namespace: str, number: int) -> Cable:
    """A TAP device `eth0` in place of the one that is there, with its addresses."""
    with inside(namespace):
        os.system("ip link del eth0")  # noqa: S605, S607 - constant
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", b"eth0", _IFF_TAP_WITHOUT_HEADER))
        for words in (
            f"addr add 10.77.0.{number}/24 brd + dev eth0",
            f"addr add fd77::{number}/64 dev eth0 nodad",
            f"link set eth0 mtu {MTU} up",
        ):
            if os.system(f"ip {words}"):  # noqa: S605 - our own words
                raise OSError(f"ip {words} failed")
    return Cable(device, 0.0, deque())


def _switch(cables: Sequence[Cable], delay: float, rate: float) -> None:
    """Pass frames on for ever; `delay` in seconds one way, `rate` in bytes a second."""
    places: dict[bytes, Cable] = {}
    by_device = {cable.device: cable for cable in cables}
    while True:
        now = time.monotonic()
        for cable in cables:
            while cable.on_way and cable.on_way[0][0] <= now:
                _deliver(cable.on_way.popleft()[1], cable, places, cables)
        now = time.monotonic()
        open_ones = [one.device for one in cables if one.free_at <= now + BACKLOG_SECONDS]
        wakes = [one.on_way[0][0] for one in cables if one.on_way]
        wakes += [one.free_at - BACKLOG_SECONDS for one in cables if one.device not in open_ones]
        wait = max(min(wakes) - now, 0.0) if wakes else None
        ready, _, _ = select.select(open_ones, (), (), wait)
        for device in ready:
            cable, frame = by_device[device], os.read(device, 65536)
            places[frame[6:12]] = cable
            cable.free_at = max(cable.free_at, time.monotonic()) + len(frame) / rate
            cable.on_way.append((cable.free_at + delay, frame))


def _deliver(
    frame: bytes, source: Cable, places: dict[bytes, Cable], cables: Sequence[Cable]
) -> None:
    """To the machine whose address it bears, or to all others."""
    known = places.get(frame[:6])
    for cable in (known,) if known is not None else cables:
        if cable is not source:
            try:
                os.write(cable.device, frame)
            except OSError:  # its queue is full, or it is gone: frames get lost
                continue


def main() -> None:
    """Be the switch."""
    milliseconds, mbits, *namespaces = sys.argv[1:]
    _LIBC.prctl(_PR_SET_TIMERSLACK, 1000, 0, 0, 0)
    cables = [_cable(name, number) for number, name in enumerate(namespaces, 1)]
    print('{"switch": "up"}', flush=True)
    delay = max(float(milliseconds) / 2000 - OWN_SECONDS, 0.0)
    _switch(cables, delay, float(mbits) * 1e6 / 8)


if __name__ == "__main__":
    main()

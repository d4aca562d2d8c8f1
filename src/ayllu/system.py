"""Facts about this machine: memory as a container sees it, processor, environment, ports."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
from msgspec import Struct

USERS_PREFIX = f"ayllu-{os.getuid() if sys.platform != 'win32' else 0}-"
_CGROUP = Path("/sys/fs/cgroup")
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # looked up before any fork
_PR_SET_PDEATHSIG = 1


class Memory(Struct, frozen=True):
    """Bytes of RAM: all of it, and what can be taken without swapping."""

    total: int
    available: int


def memory(cgroup: Path = _CGROUP) -> Memory:
    """This machine's memory, or the container's where it has less (cgroup v2, then v1)."""
    system = psutil.virtual_memory()
    for limit_name, used_name, cache_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = _number(cgroup / limit_name), _number(cgroup / used_name)
        if limit is not None and used is not None and limit < system.total:
            # Files that nobody uses count as used memory, and are dropped when it is asked for.
            used -= _statistic((cgroup / limit_name).with_name("memory.stat"), cache_name)
            return Memory(limit, min(system.available, max(limit - used, 0)))
    return Memory(system.total, system.available)


def processor() -> str:
    """The processor's name as its maker writes it."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def child_environment() -> dict[str, str]:
    """Our environment less our own settings, keys and tokens: for programs of others."""
    return {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("AYLLU_") and name != "HF_TOKEN"
    }


def dies_with_parent() -> Callable[[], None] | None:
    """What a child of ours runs before its program, so that Linux ends it with us; else None."""
    return None if _LIBC is None else partial(_die_with, os.getpid())


def _die_with(parent: int) -> None:
    assert _LIBC is not None  # noqa: S101 - nobody else is given this
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def temporary_prefix() -> str:
    """How this process's folders begin in the system's temporary one; the next server sweeps it."""
    return f"{USERS_PREFIX}{os.getpid()}-"


def port_owner(port: int) -> str:
    """The program that listens on a TCP port, as `name (pid N)`; empty where we may not know."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return ""
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        if connection.laddr.port == port and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return ""


def _statistic(path: Path, name: str) -> int:
    """A number of a cgroup's memory.stat; 0 where it is not there."""
    try:
        rows = dict(line.split() for line in path.read_text("ascii").splitlines())
        return int(rows.get(name, 0))
    except (OSError, ValueError):
        return 0


def _number(path: Path) -> int | None:
    """The number in a cgroup file; None for `max` or no file."""
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None

"""Facts about this machine: memory and processors as a container sees them, disk, ports."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
from msgspec import Struct

USERS_PREFIX = f"ayllu-{os.getuid() if sys.platform != 'win32' else 0}-"
_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_CPUS = Path("/sys/devices/system/cpu")
_CPUINFO = Path("/proc/cpuinfo")
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # looked up before any fork
_PR_SET_PDEATHSIG = 1


class Memory(Struct, frozen=True):
    """Bytes of RAM: all of it, and what can be taken without swapping."""

    total: int
    available: int


def memory(cgroup: Path = _CGROUP) -> Memory:
    """This machine's memory, or the container's where it has less (cgroup v2, then v1)."""
    system = psutil.virtual_memory()
    found = Memory(system.total, system.available)
    for controller, limit_name, used_name, cache_name in (
        ("", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for folder in _cgroups(cgroup, controller):
            limit, used = _number(folder / limit_name), _number(folder / used_name)
            if limit is not None and used is not None and limit < system.total:
                # Files that nobody uses count as used memory, and are dropped when it is asked for.
                used -= _statistic(folder / "memory.stat", cache_name)
                available = min(found.available, max(limit - used, 0))
                found = Memory(min(found.total, limit), available)
    return found


def usable_cpus() -> tuple[int, ...]:
    """The logical processors that this process may run on (`taskset`, cpusets)."""
    if sys.platform == "linux":
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def cpu_quota(cgroup: Path = _CGROUP) -> float:
    """How many processors' time a container may use; infinity without a limit (cgroup v2, v1)."""
    quotas = [math.inf]
    for folder in _cgroups(cgroup, ""):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.strip().isdigit():
            quotas.append(int(quota) / int(period))
    for folder in _cgroups(cgroup, "cpu"):
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit():
            quotas.append(int(quota) / int(period))
    return min(quotas)


def usable_threads(cgroup: Path = _CGROUP) -> int:
    """How many threads can run at once here: processors that are ours, less what a quota takes."""
    return max(1, min(len(usable_cpus()), math.ceil(min(cpu_quota(cgroup), 1 << 20))))


def usable_cores(cpus: Path = _CPUS) -> int:
    """How many cores the usable processors are, two of which may share one."""
    siblings = {
        _text(cpus / f"cpu{cpu}" / "topology" / "thread_siblings_list") for cpu in usable_cpus()
    }
    if "" in siblings:
        return min(psutil.cpu_count(logical=False) or 1, len(usable_cpus()))
    return len(siblings)


def largest_cache(cpus: Path = _CPUS) -> int:
    """Bytes of the usable processors' last-level caches together; 0 where the system tells none."""
    sizes: dict[tuple[int, str], int] = {}
    for cpu in usable_cpus():
        for cache in (cpus / f"cpu{cpu}" / "cache").glob("index*"):
            level, shared = _number(cache / "level"), _text(cache / "shared_cpu_list")
            size = _text(cache / "size")
            if level is not None and size.endswith("K"):
                sizes[level, shared] = int(size[:-1]) << 10
    last = max((level for level, _ in sizes), default=0)
    return sum(size for (level, _), size in sizes.items() if level == last)


def processor() -> str:
    """The processor's name as its maker writes it."""
    for key in ("model name", "Model", "Hardware"):  # the last two on ARM boards
        if name := _cpuinfo(key):
            return name
    return platform.processor() or platform.machine()


INSTRUCTION_SETS = frozenset(
    {"f16c", "fma", "avx", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni"}
    | {"avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"}
    | {"neon", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2", "sme"}
)
"""Those that matter to the engine, in Linux' words; `asimd` is what it calls NEON on 64 bits."""


def instruction_sets(flags: str = "") -> tuple[str, ...]:
    """The processor's instruction sets that matter to the engine, or those in Linux' `flags`.

    Elsewhere than on Linux only what every processor of the architecture has is known.
    """
    words = (flags or _cpuinfo("flags") or _cpuinfo("Features")).split()
    if not words and platform.machine().lower() in {"arm64", "aarch64"}:
        words = ["asimd"]
    ours = ("neon" if word == "asimd" else word for word in words)
    return tuple(dict.fromkeys(word for word in ours if word in INSTRUCTION_SETS))


def free_disk(folder: Path) -> int:
    """Bytes free on the disk of a folder, which need not exist yet."""
    return shutil.disk_usage(nearest_folder(folder)).free


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    return next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))


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


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The folders whose limits hold for this process: its cgroup's, and those above it."""
    yield root / controller
    for line in _text(_OWN_CGROUPS).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            folder = root / controller / path.lstrip("/")
            yield from (
                one for one in (folder, *folder.parents) if root / controller in one.parents
            )


def _cpuinfo(key: str) -> str:
    """The first value of a key in Linux' /proc/cpuinfo; empty where there is none."""
    for line in _text(_CPUINFO).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _statistic(path: Path, name: str) -> int:
    """A number of a cgroup's memory.stat; 0 where it is not there."""
    try:
        rows = dict(line.split() for line in path.read_text("ascii").splitlines())
        return int(rows.get(name, 0))
    except (OSError, ValueError):
        return 0


def _number(path: Path) -> int | None:
    """The number in a file of the kernel's; None for `max` or no file."""
    text = _text(path)
    return int(text) if text.lstrip("-").isdecimal() else None


def _text(path: Path) -> str:
    """What a file of the kernel's says; empty where there is none."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""

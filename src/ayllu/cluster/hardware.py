"""What this machine has and how busy it is, for its record: read from the system, never guessed.

Counts are of what this process may use: processors after `taskset` and cpusets, memory after a
container's limit.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from ayllu import system
from ayllu.cluster.record import Gpu, Hardware, Load
from ayllu.runner.engine import Engine

_DEVICE = re.compile(r"(\w+?)\d*: (.+) \((\d+) MiB, (\d+) MiB free\)")
"""A line of `llama-server --list-devices` (llama.cpp, common/arg.cpp)."""


def hardware(devices: Iterable[str]) -> Hardware:
    """What the machine has. `devices` are the engine's, as `runner.engine.list_devices` gives them.

    The GPUs' free memory is that of the time when they were listed.
    """
    threads = system.usable_threads()
    return Hardware(
        cpu=system.processor(),
        cores=min(system.usable_cores(), threads),
        threads=threads,
        isa=system.instruction_sets(),
        ram_total=system.memory().total,
        gpus=tuple(gpu for device in devices for gpu in gpus_of(device)),
        system=f"{platform.system()} {platform.machine()}",
    )


def gpus_of(device: str) -> tuple[Gpu, ...]:
    """The GPU in a line of the engine's list; none where the line is of another form."""
    found = _DEVICE.fullmatch(device)
    if found is None:
        return ()
    backend, name, total, free = found.groups()
    return (Gpu(name, backend, int(total) << 20, int(free) << 20),)


def engine_build(engine: Engine) -> str:
    """The engine as records name it; machines that work on one model must have the same."""
    return " ".join(filter(None, ("llama.cpp", engine.version, engine.commit)))


class Meter:
    """Reads how busy the machine is; its CPU share is that since the reading before."""

    def __init__(self, models: Path) -> None:
        self._models = models
        self._times = _cpu_times()

    def load(self, *, running: int, waiting: int) -> Load:
        """How busy it is now, beside the requests that run and wait."""
        before, self._times = self._times, _cpu_times()
        try:
            disk_free = system.free_disk(self._models)
        except OSError:  # a disk that was taken away has no room
            disk_free = 0
        return Load(
            ram_free=system.memory().available,
            disk_free=disk_free,
            running=running,
            waiting=waiting,
            cpu=cpu_share(before, self._times),
        )


Times = Mapping[str, float]
"""Seconds of processors' time by what they did: `busy` and `idle`."""


def _cpu_times() -> Times:
    """The times of the processors that this process may run on, since the system's start."""
    rows = psutil.cpu_times(percpu=True)
    mine = [rows[cpu] for cpu in system.usable_cpus() if cpu < len(rows)] or rows
    idle = sum(row.idle + getattr(row, "iowait", 0.0) for row in mine)
    # Linux counts a guest's time as the user's too.
    twice = sum(getattr(row, "guest", 0.0) + getattr(row, "guest_nice", 0.0) for row in mine)
    return {"busy": sum(map(sum, mine)) - idle - twice, "idle": idle}


def cpu_share(before: Times, after: Times) -> float:
    """The busy share of the time between two readings, 0 to 1, in hundredths."""
    busy, idle = (max(after[key] - before[key], 0.0) for key in ("busy", "idle"))
    return round(busy / (busy + idle), 2) if busy + idle else 0.0

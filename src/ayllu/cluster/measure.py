"""How fast this machine is: measured by a child process, once per hardware, and kept.

`measure_child.py` says what is measured and how. Whatever goes wrong is logged, and the machine's
record then says nothing of its speed.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from contextlib import aclosing
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from ayllu.cluster.record import Hardware, Speed
from ayllu.errors import AylluError, EngineError
from ayllu.gguf.tool import failure, running
from ayllu.models.files import draft
from ayllu.system import cpu_quota, largest_cache, memory, nearest_folder, usable_cpus

MEASURED = "measured.json"
"""In the folder of the cluster."""

METHOD = 1
"""To be raised with every change of how it is measured."""

LIMIT_SECONDS = 60.0
"""A child that takes longer hangs: it takes three seconds, or ten on a busy machine."""

LEAST_SHARE = 0.8
"""Of the time that its threads could have run; with less, others ran and the figures are low."""

_CHILD = Path(__file__).with_name("measure_child.py")
_SPEED = re.compile(rb"(?m)^@speed (\d\S*) (\d\S*) (\d\S*) (\d\S*)$")
_SAMPLE_SECONDS = 0.2
_QUOTA_SAMPLE_SECONDS = 0.4
_log = structlog.get_logger(__name__)


class Fingerprint(Struct, frozen=True):
    """What a measurement is of. RAM is in GiB, for a new kernel takes a little more of it."""

    method: int
    cpu: str
    threads: int
    quota: float | None
    isa: tuple[str, ...]
    ram: int
    models: str


class Measured(Struct, frozen=True):
    """The file MEASURED."""

    of: Fingerprint
    speed: Speed


class Measurement(Struct, frozen=True):
    """What was measured now; where others ran beside it, it is less than the machine can do."""

    speed: Speed
    disturbed: bool


def fingerprint(hardware: Hardware, models: Path) -> Fingerprint:
    """What tells this machine, as this process may use it, from another."""
    quota = cpu_quota()
    return Fingerprint(
        method=METHOD,
        cpu=hardware.cpu,
        threads=hardware.threads,
        quota=quota if quota < len(usable_cpus()) else None,
        isa=hardware.isa,
        ram=round(hardware.ram_total / (1 << 30)),
        models=str(models),
    )


def kept_speed(file: Path, hardware: Hardware, models: Path) -> Speed | None:
    """What was measured before and kept in a file, if it was of this hardware."""
    kept = _load(file)
    return kept.speed if kept is not None and kept.of == fingerprint(hardware, models) else None


async def measured_speed(file: Path, hardware: Hardware, models: Path) -> Measurement | None:
    """What is measured now; kept in the file unless it was disturbed.

    None where it fails; the log says why.
    """
    of = await asyncio.to_thread(fingerprint, hardware, models)
    started = time.monotonic()
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            found = await measure(of, models)
    except TimeoutError:
        _log.warning("measuring this machine took too long", seconds=LIMIT_SECONDS)
        return None
    except AylluError as error:
        _log.warning("this machine could not be measured", reason=error.sentence)
        return None
    seconds = round(time.monotonic() - started, 2)
    _log.info("this machine was measured", seconds=seconds, disturbed=found.disturbed)
    if not found.disturbed:
        await asyncio.to_thread(_save, file, Measured(of, found.speed))
    return found


async def measure(of: Fingerprint, models: Path) -> Measurement:
    """Measure now, in a child of low priority. Raises EngineError where the child fails."""
    room = memory().available // 4
    sample = _SAMPLE_SECONDS if of.quota is None else _QUOTA_SAMPLE_SECONDS
    figures = (of.threads, await asyncio.to_thread(largest_cache), room, sample)
    arguments = ["-P", str(_CHILD), *map(str, figures), str(nearest_folder(models))]
    program, doing = Path(sys.executable), "measuring this machine"
    async with running(program, arguments) as child:
        async with aclosing(child.matches(_SPEED)) as lines:
            found = [line.groups() async for line in lines]
        code = await child.wait()
        if code or len(found) != 1:
            why = failure(code, child.log, program=program, doing=doing)
            last = (child.log.strip().splitlines() or ["it said nothing"])[-1]
            raise EngineError(f"{why.sentence}: {last[:300]}")
    tflops, memory_gbs, disk_mbs, ran = map(float, found[0])
    share = ran * of.threads / min(of.quota or of.threads, of.threads)
    speed = Speed(tflops, memory_gbs, disk_mbs, measured_at=time.time())
    return Measurement(speed, disturbed=share < LEAST_SHARE)


def _load(file: Path) -> Measured | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Measured)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None  # there is none, or it is of another version: it is measured again


def _save(file: Path, measured: Measured) -> None:
    try:
        with draft(file.parent) as written:
            written.write(msgspec.json.encode(measured))
            written.publish(file)
    except OSError as error:
        _log.warning("what was measured cannot be kept", reason=str(error))

"""What a machine says that it has, and how busy it is."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from ayllu.cluster.hardware import Meter, cpu_share, engine_build, gpus_of, hardware
from ayllu.cluster.record import Gpu, Hardware, Load
from ayllu.config import load_settings
from ayllu.runner.engine import find_engine, list_devices
from ayllu.system import memory, usable_threads

MIB = 1 << 20


def test_this_machine_has_what_its_system_says(tmp_path: Path) -> None:
    engine = find_engine(load_settings({"AYLLU_HOME": str(tmp_path)}))
    found = hardware(list_devices(engine))
    assert found.cpu
    assert 1 <= found.cores <= found.threads == usable_threads()
    assert found.ram_total == memory().total
    assert found.system.count(" ") == 1
    assert engine_build(engine).startswith(f"llama.cpp {engine.version}")


@pytest.mark.parametrize(
    ("line", "gpus"),
    [
        (
            "CUDA0: NVIDIA GeForce RTX 4090 (24082 MiB, 23600 MiB free)",
            (Gpu("NVIDIA GeForce RTX 4090", "CUDA", 24082 * MIB, 23600 * MIB),),
        ),
        (
            "Vulkan1: AMD Radeon RX 7900 XTX (RADV NAVI31) (24560 MiB, 24000 MiB free)",
            (Gpu("AMD Radeon RX 7900 XTX (RADV NAVI31)", "Vulkan", 24560 * MIB, 24000 * MIB),),
        ),
        (
            "Metal: Apple M2 Pro (21845 MiB, 21845 MiB free)",
            (Gpu("Apple M2 Pro", "Metal", 21845 * MIB, 21845 * MIB),),
        ),
        ("(none)", ()),
        ("a card of a later engine, with 5 GiB", ()),
    ],
)
def test_gpus_are_read_off_the_engines_list(line: str, gpus: tuple[Gpu, ...]) -> None:
    assert gpus_of(line) == gpus


def test_load_is_read_anew_each_time(tmp_path: Path) -> None:
    meter = Meter(tmp_path / "models")
    end = time.perf_counter() + 0.2
    while time.perf_counter() < end:
        pass
    load = meter.load(running=2, waiting=3)
    assert (load.running, load.waiting) == (2, 3)
    assert 0 < load.ram_free <= memory().total
    assert load.disk_free > 0
    assert 0 < load.cpu <= 1


def test_the_share_of_the_processors_is_that_of_the_time_between() -> None:
    before = {"busy": 100.0, "idle": 50.0}
    assert cpu_share(before, {"busy": 101.0, "idle": 53.0}) == 0.25
    assert cpu_share(before, before) == 0.0
    assert cpu_share(before, {"busy": 101.0, "idle": 49.9}) == 1.0  # idle times step back at times


def test_hardware_and_load_fit_their_own_bounds(tmp_path: Path) -> None:
    found = hardware(("CUDA0: A card (1 MiB, 1 MiB free)",))
    load = Meter(tmp_path).load(running=0, waiting=0)
    assert msgspec.convert(msgspec.to_builtins(found), Hardware) == found
    assert msgspec.convert(msgspec.to_builtins(load), Load) == load

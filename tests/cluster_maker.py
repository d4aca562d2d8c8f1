"""Records of machines that are nowhere, for tests of what is made of records."""

from __future__ import annotations

from typing import Any

from ayllu.cluster.record import (
    Endpoints,
    Gpu,
    Hardware,
    HeldModel,
    Link,
    Load,
    Record,
    Speed,
)

GIB = 1 << 30


def node_id(name: str) -> str:
    """An id as `identity.py` makes them, of the beginning of a name."""
    letters = "".join(char for char in name.lower() if char.isalpha())
    return f"{letters}{'a' * 20}"[:20]


def record(name: str, **changes: Any) -> Record:
    """A machine of eight cores with a GPU, measured, with one model in memory."""
    usual: dict[str, Any] = {
        "node": node_id(name),
        "name": name,
        "epoch": 1,
        "counter": 1,
        "version": "0.1.0",
        "engine": "llama.cpp 0.5.0 0c1e570",
        "started": 1_795_000_000.0,
        "endpoints": Endpoints(
            bus=("192.168.1.7:17446", "[fe80::1]:17446"), peer=("192.168.1.7:17448",)
        ),
        "hardware": Hardware(
            cpu="AMD Ryzen 7",
            cores=8,
            threads=16,
            isa=("avx2", "fma"),
            ram_total=32 * GIB,
            gpus=(Gpu("NVIDIA RTX 4090", "CUDA", 24 * GIB, 20 * GIB),),
            system="Linux x86_64",
        ),
        "load": Load(ram_free=16 * GIB, disk_free=200 * GIB, running=1, waiting=2, cpu=0.5),
        "speed": Speed(tflops=0.75, memory_gbs=41.5, disk_mbs=0, measured_at=1_795_000_000.5),
        "models": (HeldModel("mini:latest", "ab" * 32, 10_565_670, loaded=True),),
    }
    return Record(**usual | changes)


def link(to: str, **changes: Any) -> Link:
    """A wired way to a machine of some name."""
    usual: dict[str, Any] = {
        "to": node_id(to),
        "rtt_p50": 0.41,
        "rtt_p95": 0.9,
        "mbs": 110.4,
        "wireless": False,
        "measured_at": 1_795_000_100.0,
    }
    return Link(**usual | changes)
